import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../call.ts';
import { Unsupported, need } from '../../errors.ts';
import { blockConformance } from '../conformance.ts';
import { fakeBlockDriver, type FakeBlockDriver } from './driver.ts';

const base = mkdtempSync(join(tmpdir(), 'storage-fakeblock-'));
afterAll(() => rm(base, { recursive: true }));
const underTest = (driver: FakeBlockDriver) => ({
  driver, live: true, bigBytes: 4 << 20, leftovers: async () => [...driver.held], used: async () => driver.used,
  plant: async (name: string, bytes: number, content: Buffer) => driver.plant(name, bytes, content),
});
const call = plainCall();

blockConformance('fake, in memory', async () => underTest(fakeBlockDriver()), { without: ['image'] });
blockConformance('fake, in a folder', async () => underTest(fakeBlockDriver({ directory: mkdtempSync(join(base, 'x')) })), { without: ['image'] });

describe('the fake block driver', { timeout: 120_000 }, () => {
  it('fails before or after its work, hangs, and counts', async () => {
    const driver = fakeBlockDriver();
    driver.faults.failAt('volumes.create', 2, 'full');
    driver.faults.failAt('volumes.create', 3, 'transient', 'after');
    await driver.volumes.create(call, { name: 'a', sizeGiB: 1 });
    await expect(driver.volumes.create(call, { name: 'b', sizeGiB: 1 })).rejects.toMatchObject({ kind: 'full' });
    expect(driver.held).toEqual(['a']);
    await expect(driver.volumes.create(call, { name: 'b', sizeGiB: 1 })).rejects.toMatchObject({ kind: 'transient' });
    expect(driver.held).toEqual(['a', 'b']);
    driver.faults.hangAt('volumes.delete');
    const stop = new AbortController();
    const hung = driver.volumes.delete(plainCall('t', stop.signal), { name: 'a', sizeGiB: 1 });
    stop.abort(new Error('enough'));
    await expect(hung).rejects.toThrow('enough');
    expect(driver.held).toEqual(['a', 'b']);
    expect(driver.faults.calls).toEqual({ 'volumes.create': 3, 'volumes.delete': 1 });
    driver.faults.clear();
    driver.faults.delayMs = 30;
    const began = performance.now();
    await driver.volumes.delete(call, { name: 'a', sizeGiB: 1 });
    expect(performance.now() - began).toBeGreaterThan(25);
  });

  it('has pools, thick ones too, and moves between them', async () => {
    const driver = fakeBlockDriver({ pools: [{ name: 'one', totalGiB: 10, thin: false }, { name: 'two', maxOverSubscriptionRatio: 1.5, capabilities: { ssd: true } }] });
    await driver.volumes.create(call, { name: 'a', sizeGiB: 6 });
    await expect(driver.volumes.create(call, { name: 'b', sizeGiB: 6 })).rejects.toMatchObject({ kind: 'full' });
    await driver.volumes.create(call, { name: 'b', sizeGiB: 6, pool: 'two' });
    await expect(driver.volumes.create(call, { name: 'c', sizeGiB: 6, pool: 'three' })).rejects.toMatchObject({ kind: 'absent' });
    expect(await need(driver, 'migrate')(call, { name: 'b', sizeGiB: 6 }, 'three')).toBeUndefined();
    await need(driver, 'migrate')(call, { name: 'a', sizeGiB: 6 }, 'two');
    expect((await driver.pools(call)).map(({ name, provisionedGiB, freeGiB, thin }) => [name, provisionedGiB, freeGiB, thin])).toEqual([['one', 0, 10, false], ['two', 12, 100_000, true]]);
  });

  it('freezes a group, keeps QoS, lacks what it is told to lack', async () => {
    const driver = fakeBlockDriver({ without: ['snapshots', 'qos'] });
    expect(() => need(driver, 'snapshots')).toThrow(Unsupported);
    expect(driver.groups).toBeDefined();
    const whole = fakeBlockDriver();
    const pairs = ['a', 'b'].map((name) => ({ volume: { name, sizeGiB: 1 }, snapshot: { name: `s-${name}`, volume: { name, sizeGiB: 1 }, sizeGiB: 1 } }));
    await whole.volumes.create(call, pairs[0]!.volume);
    await expect(whole.groups!.snapshot(call, pairs)).rejects.toMatchObject({ kind: 'absent' });
    expect(whole.held).toEqual(['a']);
    await whole.volumes.create(call, pairs[1]!.volume);
    expect(await whole.groups!.snapshot(call, pairs)).toHaveLength(2);
    expect(whole.held).toEqual(['a', 'b', 'a~s-a', 'b~s-b']);
    await whole.qos!.apply(call, pairs[0]!.volume, { total_iops_sec: '100' });
    await whole.attach.connect(call, pairs[0]!.volume, { host: 'h1' });
    await whole.attach.connect(call, pairs[0]!.volume, { host: 'h2' });
    await whole.attach.disconnect(call, pairs[0]!.volume, { host: 'h1' });
    expect([...whole.connections]).toEqual(['a h2']);
    await whole.attach.disconnect(call, pairs[0]!.volume, undefined);
    expect(whole.connections.size).toBe(0);
  });

  it('is seen by another process through its folder, and stands for thousands', async () => {
    const directory = join(base, 'shared');
    const [one, other] = [fakeBlockDriver({ directory }), fakeBlockDriver({ directory })];
    await one.volumes.create(call, { name: 'a', sizeGiB: 1 });
    expect(await other.volumes.exists(call, { name: 'a', sizeGiB: 1 })).toBe(true);
    const many = fakeBlockDriver();
    const began = performance.now();
    for (let n = 0; n < 5000; n += 1) await many.volumes.create(call, { name: `volume-${n}`, sizeGiB: 100 });
    expect((await many.pools(call))[0]?.provisionedGiB).toBe(500_000);
    expect(performance.now() - began).toBeLessThan(20_000);
  });
});
