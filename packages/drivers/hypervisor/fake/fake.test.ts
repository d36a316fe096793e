import { mkdtemp, open, rm } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { hypervisorConformance, type HypervisorWorld } from '../conformance.ts';
import type { HypervisorEvent, ServerSpec } from '../contract.ts';
import { writeEmptyImage } from './disk-files.ts';
import { fakeHypervisor, type FakeHypervisorOptions } from './index.ts';

async function fakeWorld(kept: boolean): Promise<HypervisorWorld> {
  const dir = await mkdtemp(join(tmpdir(), 'hyp-fake-'));
  const options: FakeHypervisorOptions = { checkImages: true, ...(kept && { dir }) };
  const driver = fakeHypervisor(options);
  const image = join(dir, 'image.qcow2');
  await writeEmptyImage(image, 'qcow2', 96 * 2 ** 20);
  return {
    driver, bridge: 'brfake', memoryMiB: 64, image: { path: image, format: 'qcow2', sizeGiB: 1 },
    // memory is all that the other kind has: there is nothing to open again
    reopen: async () => (kept ? fakeHypervisor(options) : { ...driver, close: async () => undefined }),
    ready: /GUEST-READY/, bootMs: 1_000,
    path: (name) => join(dir, name),
    async volume(sizeMiB) {
      const path = join(dir, `volume-${randomUUID()}`);
      const file = await open(path, 'w');
      await file.truncate(sizeMiB * 2 ** 20);
      await file.close();
      return { volumeId: randomUUID(), connection: { driver_volume_type: 'local', data: { device_path: path } } };
    },
    leftovers: async (spec) => (await driver.list(plainCall())).filter((d) => d.id === spec.id).map((d) => d.name),
    close: () => rm(dir, { recursive: true, force: true }),
  };
}

hypervisorConformance('fake in memory', () => fakeWorld(false));
hypervisorConformance('fake in a folder', () => fakeWorld(true));

describe('fake hypervisor', () => {
  let dir: string;
  let image: string;
  const call = plainCall();
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hyp-fake-'));
    image = join(dir, 'image.raw');
    await writeEmptyImage(image, 'raw', 2 ** 20);
  });
  afterAll(() => rm(dir, { recursive: true, force: true }));

  const spec = (changes: Partial<ServerSpec> = {}): ServerSpec => {
    const id = randomUUID();
    return { id, name: `instance-${id.slice(0, 8)}`, displayName: 'x', vcpus: 1, memoryMiB: 64, root: { kind: 'image', imagePath: image, imageFormat: 'raw', sizeGiB: 1 }, ...changes };
  };

  it('fails, loses the answer and hangs on demand', async () => {
    const fake = fakeHypervisor();
    const server = spec();
    fake.faults.failAt('servers.create', 1, 'full');
    await expect(fake.servers.create(call, server)).rejects.toMatchObject({ kind: 'full' });
    expect(await fake.list(call)).toEqual([]);
    fake.faults.failAt('servers.create', 1, 'transient', 'after');
    await expect(fake.servers.create(call, server)).rejects.toMatchObject({ kind: 'transient' });
    expect(await fake.servers.powerState(call, server.id)).toBe('running');
    fake.faults.hangAt('servers.powerOff');
    const stop = new AbortController();
    const hanging = fake.servers.powerOff(plainCall('t', stop.signal), server.id);
    stop.abort(new Error('enough'));
    await expect(hanging).rejects.toThrow('enough');
    expect(await fake.servers.powerState(call, server.id)).toBe('running');
  });

  it('tells what guests and hosts do by themselves', async () => {
    const fake = fakeHypervisor();
    const server = spec();
    const events: HypervisorEvent[] = [];
    const stop = fake.events((event) => events.push(event));
    await fake.servers.create(call, server);
    fake.happens(server.id, 'guest-poweroff');
    await fake.servers.powerOn(call, server);
    fake.happens(server.id, 'guest-panic');
    expect(await fake.servers.powerState(call, server.id)).toBe('crashed');
    stop();
    await fake.servers.powerOn(call, server);
    expect(events.map((e) => (e.kind === 'gap' ? e.kind : `${e.kind} ${e.byGuest}`))).toEqual(['started false', 'stopped true', 'started false', 'crashed true']);
    fake.hostReboots();
    expect(await fake.servers.powerState(call, server.id)).toBe('shutdown');
  });

  it('boots in its own time', async () => {
    let now = 1_000;
    const fake = fakeHypervisor({ bootMs: 10_000, now: () => now });
    const server = spec();
    await fake.servers.create(call, server);
    const log = async (): Promise<string> => (await fake.console?.log(call, server.id)) ?? '';
    expect(await log()).toContain('SeaBIOS');
    expect(await log()).not.toContain('GUEST-READY');
    now += 10_000;
    expect(await log()).toContain(`GUEST-READY host=${server.name} uuid=${server.id}`);
  });

  it('refuses an image that is larger than the flavor', async () => {
    const big = join(dir, 'big.qcow2');
    await writeEmptyImage(big, 'qcow2', 2 * 2 ** 30);
    const root = { kind: 'image', imagePath: big, imageFormat: 'qcow2', sizeGiB: 1 } as const;
    await expect(fakeHypervisor({ checkImages: true }).servers.create(call, spec({ root }))).rejects.toMatchObject({ kind: 'invalid' });
    await fakeHypervisor().servers.create(call, spec({ root: { ...root, imagePath: '/nowhere' } }));
  });

  it('keeps thousands of servers, and another process finds them', async () => {
    const folder = join(dir, 'many');
    const fake = fakeHypervisor({ dir: folder });
    await Promise.all(Array.from({ length: 2_000 }, () => fake.servers.create(call, spec())));
    const other = fakeHypervisor({ dir: folder });
    expect(await other.list(call)).toHaveLength(2_000);
    const started = performance.now();
    expect((await other.host(call)).used).toMatchObject({ servers: 2_000, running: 2_000, memoryMiB: 128_000 });
    expect(performance.now() - started).toBeLessThan(1_000);
  });
});
