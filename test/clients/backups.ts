import { createHash, randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, openSync, readdirSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TestCloud } from '../harness/cloud.ts';
import { json, old, properties, refused, status, table } from './said.ts';

type Volume = { id: string };
const fileOf = (c: TestCloud, id: string): string => {
  const folder = join(c.home, 'volumes');
  const name = readdirSync(folder, { recursive: true }).map(String).find(n => n.endsWith(`volume-${id}`) || n.endsWith(`volume-${id}.raw`));
  if (name === undefined) throw new Error(`volume ${id} has no file`);
  return join(folder, name);
};
/** What a guest would have written. */
function write(c: TestCloud, id: string, offset: number, bytes: Buffer): void {
  const file = openSync(fileOf(c, id), 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  fsyncSync(file);
  closeSync(file);
}
function sum(c: TestCloud, id: string): string {
  const bytes = Buffer.alloc(64 << 20);
  const file = openSync(fileOf(c, id), 'r');
  readSync(file, bytes, 0, bytes.length, 0);
  closeSync(file);
  return createHash('sha256').update(bytes).digest('hex');
}
const show = async (c: TestCloud, backup: string) => properties(await old(c, 'cinder', ['backup-show', backup], 'admin'));
const backedUp = async (c: TestCloud, backup: string) => { await expect.poll(async () => (await show(c, backup))['status'], { timeout: 120_000, interval: 500 }).toBe('available'); };
const restored = async (c: TestCloud, volume: string) => { await expect.poll(() => c.admin('volume', 'show', volume, '-f', 'value', '-c', 'status'), { timeout: 120_000, interval: 500 }).toBe('available'); };
const volume = async (c: TestCloud, name: string, ...more: string[]): Promise<string> => {
  const { id } = await json<Volume>(c.admin('volume', 'create', '--size', '1', ...more, name, '-f', 'json'));
  await restored(c, id);
  return id;
};
/** The catalogue of backups has no client of its own. */
export async function catalogue(c: TestCloud, method: string, path: string, body?: object): Promise<Record<string, Record<string, unknown>>> {
  const token = await c.admin('token', 'issue', '-f', 'value', '-c', 'id');
  const r = await fetch(`http://127.0.0.1:${c.ports.backupcatalogue}/v1${path}`, { method, headers: { 'x-auth-token': token, 'content-type': 'application/json' }, ...(body ? { body: JSON.stringify(body) } : {}) });
  if (!r.ok) throw new Error(`${method} ${path}: ${r.status} ${await r.text()}`);
  return await r.json() as Record<string, Record<string, unknown>>;
}
const rebuilt = async (c: TestCloud, body: object): Promise<Record<string, unknown>> => {
  const { operation } = await catalogue(c, 'POST', '/rebuild', { rebuild: body });
  let found: Record<string, unknown> = {};
  await expect.poll(async () => (found = (await catalogue(c, 'GET', `/rebuild/${String(operation?.['id'])}`))['rebuild'] ?? {})['state'], { timeout: 60_000, interval: 500 }).toBe('done');
  return found;
};
/** The database with everything in it, gone. */
async function loseTheDatabase(c: TestCloud): Promise<void> {
  await c.stop();
  rmSync(join(c.home, 'postgres'), { recursive: true, force: true });
  rmSync(join(c.home, 'redis'), { recursive: true, force: true });
  await c.start();
}

export function aboutBackups(cloud: () => TestCloud): void {
  test('cinder: backup-create, --incremental, --force, backup-list, backup-show, backup-restore, backup-delete', async () => {
    const c = cloud();
    const id = await volume(c, 'data');
    write(c, id, 0, randomBytes(1 << 20));
    const made = properties(await old(c, 'cinder', ['backup-create', '--name', 'full', 'data'], 'admin'));
    expect(made).toMatchObject({ name: 'full', volume_id: id });
    const full = made['id'] as string;
    await backedUp(c, full);
    const before = sum(c, id);
    expect(await show(c, full)).toMatchObject({ id: full, name: 'full', status: 'available', size: '1', is_incremental: 'False', has_dependent_backups: 'False', volume_id: id, snapshot_id: 'None', object_count: expect.stringMatching(/^[1-9]/) as string });
    write(c, id, 8 << 20, randomBytes(4096));
    const delta = properties(await old(c, 'cinder', ['backup-create', '--incremental', '--name', 'delta', 'data'], 'admin'))['id'] as string;
    await backedUp(c, delta);
    expect(await show(c, delta)).toMatchObject({ is_incremental: 'True' });
    expect(table(await old(c, 'cinder', ['backup-list', '--sort', 'name:asc'], 'admin'))).toMatchObject([{ ID: delta, 'Volume ID': id, Status: 'available', Name: 'delta', Size: '1' }, { ID: full, Name: 'full' }]);
    expect(await refused(c, 'cinder', ['backup-delete', full], 'admin')).toMatch(/Incremental backups exist for this backup|Unable to delete/);
    const now = sum(c, id);
    // The operations service tells what was done, and how much of it.
    const token = await c.admin('token', 'issue', '-f', 'value', '-c', 'id');
    const done = await (await fetch(`http://127.0.0.1:${c.ports.operations}/v1/operations?resource_id=${delta}`, { headers: { 'x-auth-token': token } })).json() as { operations: object[] };
    expect(done.operations).toMatchObject([{ kind: 'backup.create', state: 'done', progress: { total: 2 ** 30 } }]);
    const toNew = properties(await old(c, 'cinder', ['backup-restore', delta], 'admin'));
    expect(toNew).toMatchObject({ backup_id: delta, volume_id: expect.any(String) as string });
    await restored(c, toNew['volume_id'] as string);
    expect(sum(c, toNew['volume_id'] as string)).toBe(now);
    await backedUp(c, delta);
    await old(c, 'cinder', ['backup-restore', '--volume', id, full], 'admin');
    await restored(c, id);
    expect(sum(c, id)).toBe(before);
    for (const each of [delta, full]) {
      await old(c, 'cinder', ['backup-delete', each], 'admin');
      await expect.poll(async () => (await old(c, 'cinder', ['backup-list'], 'admin')).includes(each), { timeout: 60_000, interval: 500 }).toBe(false);
    }
    expect(await refused(c, 'cinder', ['backup-show', full], 'admin')).toMatch(/No volumebackup with a name or ID of/);
    await c.admin('volume', 'delete', id, toNew['volume_id'] as string);
  });

  test('openstack: volume backup create, set, list, restore, delete, and volume service list', async () => {
    const c = cloud();
    await json(c.openstack('volume', 'create', '--size', '1', 'mine', '-f', 'json'));
    await status(c, 'volume', 'mine', 'available');
    const { id } = await json<Volume>(c.openstack('volume', 'backup', 'create', '--name', 'b', '--description', 'd', 'mine', '-f', 'json'));
    await expect.poll(() => c.openstack('volume', 'backup', 'show', 'b', '-f', 'value', '-c', 'status'), { timeout: 60_000, interval: 500 }).toBe('available');
    expect(await json(c.openstack('volume', 'backup', 'list', '--long', '-f', 'json'))).toMatchObject([{ ID: id, Name: 'b', Description: 'd', Status: 'available', Size: 1 }]);
    await c.openstack('--os-volume-api-version', '3.43', 'volume', 'backup', 'set', '--name', 'c', '--property', 'a=b', id);
    expect(await json(c.openstack('--os-volume-api-version', '3.43', 'volume', 'backup', 'show', id, '-f', 'json'))).toMatchObject({ name: 'c', metadata: { a: 'b' } });
    expect(await refused(c, 'openstack', ['volume', 'backup', 'create', '--incremental', '--snapshot', 'none', 'mine'])).toMatch(/No snapshot|could not be found|No Snapshot/i);
    await c.openstack('volume', 'backup', 'delete', id);
    await expect.poll(() => c.openstack('volume', 'backup', 'list', '-f', 'value'), { timeout: 60_000, interval: 500 }).toBe('');
    expect(await json(c.admin('volume', 'service', 'list', '--service', 'cinder-backup', '-f', 'json'))).toMatchObject([{ Binary: 'cinder-backup', Zone: 'nova', Status: 'enabled', State: 'up' }]);
    await c.openstack('volume', 'delete', 'mine');
  });

  test('the disaster: export, lose the database, import; and again with no export at all', async () => {
    const c = cloud();
    const id = await volume(c, 'precious', '--property', 'k=v');
    write(c, id, 0, randomBytes(2 << 20));
    const full = properties(await old(c, 'cinder', ['backup-create', '--name', 'full', 'precious'], 'admin'))['id'] as string;
    await backedUp(c, full);
    write(c, id, 1 << 20, randomBytes(100_000));
    const delta = properties(await old(c, 'cinder', ['backup-create', '--incremental', '--name', 'delta', 'precious'], 'admin'))['id'] as string;
    await backedUp(c, delta);
    const content = sum(c, id);
    const records = [];
    for (const each of [full, delta]) records.push(properties(await old(c, 'cinder', ['backup-export', each], 'admin')));
    expect(records[0]).toMatchObject({ backup_service: 'cinder.backup.drivers.posix.PosixBackupDriver', backup_url: expect.stringMatching(/^eyJ[A-Za-z0-9+/]+=*$/) as string });

    await loseTheDatabase(c);
    expect(await refused(c, 'cinder', ['backup-show', full], 'admin')).toMatch(/No volumebackup with a name or ID of/);
    for (const r of records) expect(properties(await old(c, 'cinder', ['backup-import', r['backup_service'] as string, r['backup_url'] as string], 'admin'))).toMatchObject({ id: expect.any(String) as string, name: 'None' });
    for (const each of [full, delta]) await backedUp(c, each);
    expect(await show(c, delta)).toMatchObject({ id: delta, name: 'delta', volume_id: id, is_incremental: 'True' });
    const back = properties(await old(c, 'cinder', ['backup-restore', delta], 'admin'))['volume_id'] as string;
    await restored(c, back);
    expect(sum(c, back)).toBe(content);
    expect(await json(c.admin('volume', 'show', back, '-f', 'json'))).toMatchObject({ name: 'precious', properties: { k: 'v', src_backup_id: delta } });

    await loseTheDatabase(c);
    expect(await rebuilt(c, { adopt: true })).toMatchObject({ found: 2, known: 0, broken: [], created: expect.arrayContaining([full, delta]) as string[] });
    const again = properties(await old(c, 'cinder', ['backup-restore', delta], 'admin'))['volume_id'] as string;
    await restored(c, again);
    expect(sum(c, again)).toBe(content);
  });
}
