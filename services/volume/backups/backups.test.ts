import { plainCall } from '@cumulet/drivers';
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { sentence, testCloud, type TestCloud } from '../testing.ts';

let c: TestCloud;
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'one' }] });
  await c.admin('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set: { volumes: -1, gigabytes: -1, snapshots: -1, backups: -1, backup_gigabytes: -1 } });
});
afterAll(() => c.close());

const call = plainCall('test');
const driver = () => { const d = c.drivers.get('one'); if (!d) throw new Error('no driver'); return d; };
/** Writes bytes into a volume as a guest would. */
async function write(id: string, offset: number, bytes: Buffer): Promise<void> {
  const w = await driver().data.write(call, { name: `volume-${id}`, sizeGiB: 1 }, { offset });
  await new Promise<void>((done, fail) => { w.on('error', fail); w.end(bytes, () => done()); });
}
const sum = async (id: string, bytes = 64 << 20): Promise<string> => {
  const hash = createHash('sha256');
  for await (const piece of await driver().data.read(call, { name: `volume-${id}`, sizeGiB: 1 }, { offset: 0, length: bytes })) hash.update(piece as Buffer);
  return hash.digest('hex');
};
const backup = async (volumeId: string, more: object = {}, version = '3.71'): Promise<string> => {
  const r = await c.demo('POST', '/v3/backups', { backup: { volume_id: volumeId, ...more } }, version);
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  await c.t.drain();
  return r.body.backup.id;
};
const show = async (id: string, version = '3.71') => (await c.admin('GET', `/v3/backups/${id}`, undefined, version)).body.backup;

test('full, incremental, restore to a new and to an existing volume, delete', async () => {
  const id = await c.volume({ name: 'src', metadata: { k: 'v' } });
  await write(id, 0, Buffer.from('one'));
  const first = await backup(id, { name: 'full', metadata: { a: 'b' } });
  expect(await show(first)).toMatchObject({ status: 'available', size: 1, name: 'full', volume_id: id, is_incremental: false, has_dependent_backups: false, snapshot_id: null, fail_reason: null, metadata: { a: 'b' }, availability_zone: 'nova', 'os-backup-project-attr:project_id': callers.demo.projectId, user_id: callers.demo.userId });
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  const before = await sum(id);
  await write(id, 1 << 20, Buffer.from('two'));
  const second = await backup(id, { incremental: true });
  expect(await show(second)).toMatchObject({ status: 'available', is_incremental: true });
  expect(await show(first)).toMatchObject({ has_dependent_backups: true });
  expect(sentence(await c.demo('DELETE', `/v3/backups/${first}`))).toBe('Invalid backup: Incremental backups exist for this backup.');

  const restored = (await c.demo('POST', `/v3/backups/${second}/restore`, { restore: {} })).body.restore;
  expect(restored).toEqual({ backup_id: second, volume_id: restored.volume_id, volume_name: `restore_backup_${second}` });
  expect(await c.show(restored.volume_id)).toMatchObject({ status: 'restoring-backup' });
  expect(await show(second)).toMatchObject({ status: 'restoring' });
  await c.t.drain();
  // The original's name, as upstream restores it.
  expect(await c.show(restored.volume_id)).toMatchObject({ status: 'available', name: 'src', metadata: { k: 'v', src_backup_id: second } });
  expect(await show(second)).toMatchObject({ status: 'available' });
  expect(await sum(restored.volume_id)).toBe(await sum(id));

  expect((await c.demo('POST', `/v3/backups/${first}/restore`, { restore: { volume_id: id } })).status).toBe(202);
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  expect(await sum(id)).toBe(before);

  for (const each of [second, first]) {
    expect((await c.demo('DELETE', `/v3/backups/${each}`)).status).toBe(202);
    await c.t.drain();
    expect((await c.demo('GET', `/v3/backups/${each}`)).status).toBe(404);
  }
  expect(c.target.held.size).toBe(0);
  expect((await c.demo('GET', '/v3/limits')).body.limits.absolute).toMatchObject({ totalBackupsUsed: 0, totalBackupGigabytesUsed: 0 });
});
