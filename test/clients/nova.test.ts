import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { secondWorker } from '../harness/second-worker.ts';
import { properties, table } from './said.ts';
import { openShell, type Shell } from './shell.ts';

// What the first seed shows of nova, line by line, and servers between two hosts: two real workers of one cloud, whose guests are simulated.
let cloud: TestCloud;
let other: Awaited<ReturnType<typeof secondWorker>>;
let s: Shell;
const folder = mkdtempSync('/tmp/cumulet-nova-');
const admin = { as: 'admin' } as const;
const [one, two] = ['host1', 'host2'] as const;

beforeAll(async () => {
  const file = openSync(join(folder, 'image.raw'), 'w');
  ftruncateSync(file, 2 ** 20);
  closeSync(file);
  const env = { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake' };
  cloud = await startCloud({ env: { ...env, CUMULET_HOST: one, CUMULET_DEMO_IMAGE: join(folder, 'image.raw'), CUMULET_DEMO_IMAGE_FORMAT: 'raw', CUMULET_VOLUME_BACKENDS: '[{name: sim, driver: fake}]', CUMULET_HYPERVISOR_FAKE_LIVE_MS: '30000' } });
  other = await secondWorker(cloud, { host: two, env: { ...env, CUMULET_HYPERVISOR_FAKE_LIVE_MS: '30000' } });
  s = await openShell(cloud.home);
}, 240_000);
afterAll(async () => {
  await s?.end();
  await other?.stop();
  await cloud?.end();
  rmSync(folder, { recursive: true, force: true });
});
const soon = <T>(look: () => T) => expect.poll(look, { timeout: 90_000, interval: 150 }); // oxlint-disable-line vitest/require-awaited-expect-poll -- awaited where it is used
const shown = async (name: string) => properties(await s.nova(['show', name], admin));
const status = (name: string) => soon(async () => { const all = await shown(name); return all['status'] === 'ERROR' ? `ERROR: ${all['fault']}` : all['status']; });
const row = (rows: Record<string, string>[], id: string) => rows.filter((r) => r['ID'] === id);
const boot = async (name: string): Promise<string> => {
  const id = properties(await s.nova(['boot', '--image', 'tiny', '--flavor', 'm1.nano', name]))['id'] as string;
  await status(id).toBe('ACTIVE');
  return id;
};

describe('the seed', () => {
  test('lock', async () => {
    const id = await boot('int32bit-test-lock');
    expect(await s.nova(['lock', id], admin)).toBe('');
    const refusal = String.raw`Instance ${id} is locked \(HTTP 409\) \(Request-ID: req-[0-9a-f-]{36}\)`;
    for (const verb of ['reboot', 'delete']) {
      const said = await s.fails('nova', [verb, id]);
      expect(said).toMatch(new RegExp(refusal));
      expect(said).toMatch(new RegExp(`^ERROR \\(CommandError\\): Unable to ${verb} the specified server\\(s\\)\\.$`, 'm'));
    }
    expect(await s.fails('nova', ['unlock', id])).toMatch(/ERROR \(Forbidden\): Policy doesn't allow os_compute_api:os-lock-server:unlock:unlock_override to be performed\. \(HTTP 403\) \(Request-ID: req-[0-9a-f-]{36}\)/);
    await s.nova(['unlock', id], admin);
    // Whoever locks by himself, anybody of the project unlocks.
    await s.nova(['lock', id]);
    expect(await s.fails('nova', ['stop', id])).toMatch(/is locked \(HTTP 409\)/);
    await s.nova(['unlock', id]);
    await s.nova(['delete', id]);
  });
  test('shelve: the image appears and disappears', async () => {
    const id = await boot('int32ibt-test-shelve');
    const networks = row(table(await s.nova('list')), id)[0]?.['Networks'];
    expect(await s.nova(['shelve', id])).toBe('');
    await status(id).toBe('SHELVED_OFFLOADED');
    expect(table(await s.nova('list --all-tenants --fields id,name,status,instance_name', admin)).filter((r) => r['ID'] === id)).toMatchObject([{ ID: id, Name: 'int32ibt-test-shelve', Status: 'SHELVED_OFFLOADED', 'Instance Name': expect.stringMatching(/^instance-[0-9a-f]{8}$/) as string }]);
    expect(table(await s.glance('image-list')).filter((image) => image['Name'] === 'int32ibt-test-shelve-shelved')).toHaveLength(1);
    expect(await s.nova(['unshelve', id])).toBe('');
    await status(id).toBe('ACTIVE');
    expect(row(table(await s.nova('list')), id)).toEqual([{ ID: id, Name: 'int32ibt-test-shelve', Status: 'ACTIVE', 'Task State': '-', 'Power State': 'Running', Networks: networks }]);
    expect(await s.glance('image-list')).not.toContain('-shelved');
    await s.nova(['delete', id]);
  });
  test('rescue', async () => {
    const id = await boot('2');
    expect(properties(await s.nova(['rescue', '--image', 'tiny', id]))).toEqual({ adminPass: expect.stringMatching(/^\w{12}$/) as string });
    await status(id).toBe('RESCUE');
    expect(row(table(await s.nova('list')), id)).toMatchObject([{ ID: id, Name: '2', Status: 'RESCUE', 'Task State': '-', 'Power State': 'Running' }]);
    expect(await s.nova(['unrescue', id])).toBe('');
    await status(id).toBe('ACTIVE');
    await s.nova(['delete', id]);
  });
});

describe('two hosts', () => {
  const host = async (id: string) => (await shown(id))['OS-EXT-SRV-ATTR:host'];
  const migrations = async (id: string) => table(await s.nova(['migration-list', '--instance-uuid', id], admin)).map((m) => `${m['Type']} ${m['Status']}`);

  test('cold migration, confirmed and taken back; a volume goes along', async () => {
    const id = await boot('cold');
    const volume = (await s.one('create --name along 1'))['id'] as string;
    await s.settled('along');
    await s.nova(['volume-attach', id, volume]);
    await s.settled('along', 'in-use');
    const [home, away] = (await host(id)) === one ? [one, two] : [two, one];
    await s.nova(['migrate', id], admin);
    await status(id).toBe('VERIFY_RESIZE');
    expect(await host(id)).toBe(away);
    await s.nova(['resize-revert', id]);
    await status(id).toBe('ACTIVE');
    expect(await host(id)).toBe(home);
    await s.nova(['migrate', '--host', away, '--poll', id], admin);
    await status(id).toBe('VERIFY_RESIZE');
    await s.nova(['resize-confirm', id]);
    await status(id).toBe('ACTIVE');
    expect(await host(id)).toBe(away);
    expect(await migrations(id)).toEqual(['migration confirmed', 'migration reverted']);
    await s.nova(['volume-detach', id, volume]);
    await s.settled('along');
    await s.nova(['delete', id]);
  });
  test('live migration: progress, forced, aborted', async () => {
    const id = await boot('live');
    const [home, away] = (await host(id)) === one ? [one, two] : [two, one];
    const under = async () => table(await s.nova(['server-migration-list', id], admin));
    await s.nova(['live-migration', id, away], admin);
    await soon(async () => (await under())[0]?.['Status']).toBe('running');
    const [{ Id: first } = {}] = await under();
    await soon(async () => Number(properties(await s.nova(['server-migration-show', id, first as string], admin))['memory_total_bytes'])).toBeGreaterThan(0);
    await s.nova(['live-migration-abort', id, first as string], admin);
    await status(id).toBe('ACTIVE');
    await soon(() => host(id)).toBe(home);
    await soon(async () => (await migrations(id))[0]).toBe('live-migration cancelled');
    await soon(async () => (await shown(id))['OS-EXT-STS:task_state']).toBe('-');
    await s.nova(['live-migration', id], admin);
    await soon(async () => (await under())[0]?.['Status']).toBe('running');
    const [{ Id: second } = {}] = await under();
    await s.nova(['live-migration-force-complete', id, second as string], admin);
    await soon(async () => (await migrations(id))[0]).toBe('live-migration completed');
    expect(await host(id)).toBe(away);
    expect(table(await s.nova(['instance-action-list', id], admin)).map((a) => a['Action'])).toEqual(expect.arrayContaining(['create', 'live-migration', 'live_migration_cancel', 'live_migration_force_complete']));
    await s.nova(['delete', id]);
  });
  test('a host goes down: its servers are evacuated, and it cleans itself when it is back', async () => {
    const id = await boot('evacuated');
    if (await host(id) === one) { await s.nova(['migrate', '--host', two, id], admin); await status(id).toBe('VERIFY_RESIZE'); await s.nova(['resize-confirm', id]); await status(id).toBe('ACTIVE'); }
    expect(await s.fails('nova', ['evacuate', id], admin)).toMatch(/Compute service of host2 is still in use/);
    const services = table(await s.nova('service-list --binary nova-compute', admin));
    const down = services.find((v) => v['Host'] === two)?.['Id'] as string;
    await s.nova(['service-force-down', down], admin);
    await s.nova(['evacuate', id, one], admin);
    await soon(() => host(id)).toBe(one);
    // This client speaks 2.93; since 2.95 it would wait for its user, stopped.
    await status(id).toBe('ACTIVE');
    await s.nova(['service-force-down', '--unset', down], admin);
    expect((await migrations(id))[0]).toBe('evacuation done');
    await s.nova(['delete', id]);
  });
});
