import { newId } from '@cumulet/wire';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { sentence, testCloud, type TestCloud } from '../testing.ts';

/** The rules of the API, in upstream's words. */
let c: TestCloud;
beforeAll(async () => { c = await testCloud({ backends: [{ name: 'one' }] }); });
afterAll(() => c.close());
beforeEach(async () => {
  const { db } = c.t.rt;
  await c.t.drain();
  await db.raw('truncate volumes, volume_snapshots, volume_attachments, volume_backups, volume_messages, tasks cascade');
  await db('quota_usage').delete();
  await db('quotas').delete();
  c.target.held.clear();
  c.target.faults.clear();
  await c.report();
});
const post = (volume_id: string, more: object = {}, version?: string) => c.demo('POST', '/v3/backups', { backup: { volume_id, ...more } }, version);
const made = async (volumeId: string, more: object = {}): Promise<string> => {
  const r = await post(volumeId, more);
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  await c.t.drain();
  return r.body.backup.id;
};
const show = async (id: string) => (await c.demo('GET', `/v3/backups/${id}`)).body.backup;
const set = (id: string, status: string) => c.t.rt.db('volumes').where({ id }).update({ status });

test('what can be backed up', async () => {
  const id = await c.volume();
  const missing = newId();
  expect(await post(missing)).toMatchObject({ status: 404, body: { itemNotFound: { message: `Volume ${missing} could not be found.` } } });
  expect((await c.other('POST', '/v3/backups', { backup: { volume_id: id } })).status).toBe(404);
  expect(sentence(await post(id, { snapshot_id: missing }))).toBe(`Snapshot ${missing} could not be found.`);
  expect(sentence(await post(id, { incremental: true }))).toBe('Invalid backup: No backups available to do an incremental backup.');
  await set(id, 'error');
  expect(await post(id)).toMatchObject({ status: 400, body: { badRequest: { message: 'Invalid volume: Volume to be backed up must be available or in-use, but the current status is "error".' } } });
  await c.inUse(id);
  expect(sentence(await post(id))).toBe('Invalid volume: Backing up an in-use volume must use the force flag.');
  expect((await post(id, { force: true })).status).toBe(202);
  expect(await c.show(id)).toMatchObject({ status: 'backing-up' });
  expect(sentence(await post(id, { force: true }))).toBe('Invalid volume: Volume to be backed up must be available or in-use, but the current status is "backing-up".');
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'in-use' });
  // Nothing of the frozen copy stays.
  expect(c.drivers.get('one')?.held).toEqual([`volume-${id}`]);
  // Whoever had it may leave while it is copied.
  expect((await post(id, { force: true })).status).toBe(202);
  await c.t.rt.db('volume_attachments').where({ volume_id: id }).delete();
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'available' });
});
test('snapshots', async () => {
  const id = await c.volume();
  const other = await c.volume();
  const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id as string;
  expect(sentence(await post(id, { snapshot_id: snapshot }))).toBe('Invalid snapshot: Snapshot to be backed up must be available, but the current status is "creating".');
  await c.t.drain();
  expect(sentence(await post(other, { snapshot_id: snapshot }))).toBe(`Invalid volume: Volume ${other} does not match with snapshot.volume_id ${id}.`);
  const { body } = await post(id, { snapshot_id: snapshot });
  expect((await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot.status).toBe('backing-up');
  // The volume is free meanwhile.
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  await c.t.drain();
  const taken = (await c.demo('GET', `/v3/snapshots/${snapshot}`)).body.snapshot;
  expect(taken.status).toBe('available');
  expect(await show(body.backup.id)).toMatchObject({ status: 'available', snapshot_id: snapshot, data_timestamp: taken.created_at });
});
test('a parent is the newest available backup, and older than the snapshot', async () => {
  const id = await c.volume();
  const at800 = await made(id);
  const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id as string;
  await c.t.drain();
  const at820 = await made(id);
  const parentOf = async (backup: string) => (await c.t.rt.db('volume_backups').where({ id: backup }).first('parent_id')).parent_id;
  expect(await parentOf(await made(id, { incremental: true, snapshot_id: snapshot }))).toBe(at800);
  const last = await made(id, { incremental: true });
  expect(await parentOf(last)).toBe(at820);
  // One that failed breaks no chain: the newest that is available counts (LP 1974092).
  await c.t.rt.db('volume_backups').where({ id: last }).update({ status: 'error' });
  expect(await parentOf(await made(id, { incremental: true }))).toBe(at820);
  await c.t.rt.db('volume_backups').where({ volume_id: id }).update({ status: 'error' });
  expect(sentence(await post(id, { incremental: true }))).toBe('Invalid backup: The parent backup must be available for incremental backup.');
  expect(sentence(await post(id, { incremental: true, snapshot_id: snapshot }))).toBe('Invalid backup: No backups available to do an incremental backup.');
});
test('restores', async () => {
  const id = await c.volume({ size: 2 });
  const backup = await made(id);
  const restore = (body: object, of = backup) => c.demo('POST', `/v3/backups/${of}/restore`, { restore: body });
  const [small, large] = [await c.volume({ size: 1 }), await c.volume({ size: 3, name: 'mine' })];
  expect(sentence(await restore({ volume_id: small }))).toBe('Invalid volume: volume size 1 is too small to restore backup of size 2.');
  expect(sentence(await restore({ volume_id: newId() }))).toMatch(/^Volume .* could not be found\.$/);
  await set(large, 'in-use');
  expect(sentence(await restore({ volume_id: large }))).toBe('Invalid volume: Volume to be restored to must be available');
  await set(large, 'available');
  expect(await restore({ volume_id: large, name: 'ignored' })).toMatchObject({ status: 202, body: { restore: { backup_id: backup, volume_id: large, volume_name: 'mine' } } });
  expect(sentence(await restore({}))).toBe('Invalid backup: Backup status must be available');
  await c.t.drain();
  // A volume that has a name keeps it.
  expect(await c.show(large)).toMatchObject({ status: 'available', size: 3, name: 'mine', metadata: { src_backup_id: backup } });
  await c.admin('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set: { volumes: 3 } });
  expect(await restore({ name: 'x' })).toMatchObject({ status: 413, body: { overLimit: { message: expect.stringMatching(/^VolumeLimitExceeded: /) } } });
  expect(await show(backup)).toMatchObject({ status: 'available' });
  expect((await c.other('POST', `/v3/backups/${backup}/restore`, { restore: {} })).status).toBe(404);
  expect(await c.demo('POST', `/v3/backups/${backup}/restore`, {})).toMatchObject({ status: 400 });
});
test('a restore that fails leaves the backup and says so of the volume', async () => {
  const id = await c.volume();
  const backup = await made(id);
  c.target.faults.failAt('restore');
  await c.demo('POST', `/v3/backups/${backup}/restore`, { restore: { volume_id: id } });
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'error_restoring' });
  expect(await show(backup)).toMatchObject({ status: 'available', fail_reason: null });
});
test('volume metadata that cannot be read fails the restore, and holds nothing up', async () => {
  const id = await c.volume();
  for (const meta of ['{"version": 9}', 'no JSON', '{"version": 2, "volume-base-metadata": {"display_name": "x", "encryption_key_id": "k", "volume_type_id": "other"}}']) {
    const backup = await made(id);
    const objects = [...c.target.held.values()].find(o => [...o.keys()].some(n => n.includes(backup) && n.endsWith('_metadata'))) as Map<string, Buffer>;
    const name = [...objects.keys()].find(n => n.includes(backup) && n.endsWith('_metadata')) as string;
    objects.set(name, Buffer.from(JSON.stringify({ ...JSON.parse(String(objects.get(name))) as object, volume_meta: meta })));
    const { volume_id: target } = (await c.demo('POST', `/v3/backups/${backup}/restore`, { restore: {} })).body.restore;
    await c.t.drain();
    expect(await c.show(target), meta).toMatchObject({ status: 'error_restoring' });
    expect(await show(backup)).toMatchObject({ status: 'available' });
  }
});
test('what failed can be started again', async () => {
  const id = await c.volume();
  c.target.faults.failAt('backup');
  const backup = await made(id);
  expect(await show(backup)).toMatchObject({ status: 'error' });
  const again = async () => { const { id: task } = await c.t.rt.db('tasks').where({ resource_type: 'backup', resource_id: backup, state: 'failed' }).first('id'); await c.t.rt.db.transaction(trx => c.t.rt.tasks.resume(trx, task)); };
  await set(id, 'error');
  await expect(again()).rejects.toMatchObject({ status: 409 });
  await set(id, 'available');
  await again();
  expect(await show(backup)).toMatchObject({ status: 'creating' });
  await c.t.drain();
  expect(await show(backup)).toMatchObject({ status: 'available', fail_reason: null });
  c.target.faults.failAt('restore');
  const { volume_id: target } = (await c.demo('POST', `/v3/backups/${backup}/restore`, { restore: {} })).body.restore;
  await c.t.drain();
  expect(await c.show(target)).toMatchObject({ status: 'error_restoring' });
  await again();
  await c.t.drain();
  expect(await c.show(target)).toMatchObject({ status: 'available' });
});
test('a volume from a backup (3.47)', async () => {
  const backup = await made(await c.volume({ size: 2, name: 'a' }));
  const make = (more: object, version = '3.47') => c.demo('POST', '/v3/volumes', { volume: { backup_id: backup, ...more } }, version);
  expect(sentence(await make({ size: 1 }))).toBe('Invalid input received: Volume size 1GB cannot be smaller than the backup size 2GB. It must be >= backup size.');
  expect(sentence(await c.demo('POST', '/v3/volumes', { volume: { backup_id: newId() } }, '3.47'))).toMatch(/^Backup .* could not be found\.$/);
  const made1 = await make({ size: 3, name: 'b' });
  expect(made1).toMatchObject({ status: 202, body: { volume: { status: 'creating', size: 3 } } });
  expect(sentence(await make({}))).toMatch(/^Invalid backup: Originating backup status must be one of/);
  await c.t.drain();
  expect(await c.show(made1.body.volume.id)).toMatchObject({ status: 'available', name: 'b', size: 3, metadata: { src_backup_id: backup } });
  expect(await show(backup)).toMatchObject({ status: 'available' });
});
test('quotas', async () => {
  const id = await c.volume({ size: 2 });
  const quota = (quota_set: object) => c.admin('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set });
  await quota({ backups: 0 });
  expect(await post(id)).toMatchObject({ status: 413, headers: { 'retry-after': '0' }, body: { overLimit: { code: 413, message: 'BackupLimitExceeded: Maximum number of backups allowed (0) exceeded', retryAfter: '0' } } });
  await quota({ backups: 10, backup_gigabytes: 3 });
  const backup = await made(id);
  expect(sentence(await post(id))).toBe('VolumeBackupSizeExceedsAvailableQuota: Requested backup exceeds allowed Backup gigabytes quota. Requested 2G, quota is 3G and 2G has been consumed.');
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  expect((await c.demo('GET', '/v3/limits')).body.limits.absolute).toMatchObject({ totalBackupsUsed: 1, totalBackupGigabytesUsed: 2, maxTotalBackupGigabytes: 3 });
  await c.demo('DELETE', `/v3/backups/${backup}`);
  await c.t.drain();
  expect((await c.demo('GET', '/v3/limits')).body.limits.absolute).toMatchObject({ totalBackupsUsed: 0, totalBackupGigabytesUsed: 0 });
});
test('a backup that fails says why, refunds nothing but harms nothing, and can be deleted', async () => {
  const id = await c.volume();
  c.target.faults.failAt('backup', 1, 'full');
  const backup = await made(id);
  expect(await show(backup)).toMatchObject({ status: 'error', fail_reason: expect.any(String) });
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  expect((await c.demo('GET', '/v3/messages', undefined, '3.3')).body.messages[0]).toMatchObject({ resource_type: 'VOLUME_BACKUP', resource_uuid: backup, event_id: 'VOLUME_VOLUME_BACKUP_013_020', user_message: expect.stringMatching(/^create backup:Backup driver failed to create backup\./) });
  expect((await c.demo('DELETE', `/v3/backups/${backup}`)).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', `/v3/backups/${backup}`)).status).toBe(404);
});
test('deletion, forced deletion, reset', async () => {
  const id = await c.volume();
  const { body } = await post(id);
  const backup = body.backup.id as string;
  expect(sentence(await c.demo('DELETE', `/v3/backups/${backup}`))).toBe('Invalid backup: Backup status must be available or error');
  const act = (action: object, who = c.admin, of = backup) => who('POST', `/v3/backups/${of}/action`, action);
  expect((await act({ 'os-force_delete': {} }, c.demo)).status).toBe(403);
  expect((await act({ 'os-reset_status': { status: 'error' } }, c.demo)).status).toBe(403);
  expect(await act({ 'os-reset_status': { status: 'creating' } })).toMatchObject({ status: 400, body: { badRequest: { message: "Backup status: creating is invalid, valid statuses are: ['available', 'error']." } } });
  expect(await act({ 'os-reset_status': { status: 'available' } })).toMatchObject({ status: 409 });
  expect((await act({ 'os-force_delete': {} })).status).toBe(202);
  expect(await show(backup)).toMatchObject({ status: 'deleting' });
  await c.t.drain();
  expect((await c.demo('GET', `/v3/backups/${backup}`)).status).toBe(404);
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  expect(c.target.held.size).toBe(0);
  const second = await made(id);
  expect((await act({ 'os-reset_status': { status: 'error' } }, c.admin, second)).status).toBe(202);
  expect(await show(second)).toMatchObject({ status: 'error' });
  expect((await act({ 'os-reset_status': { status: 'available' } }, c.admin, second)).status).toBe(202);
  expect((await act({ 'os-reset_status': { status: 'available' } }, c.admin, newId())).status).toBe(404);
});
test('a forced delete of the volume stops the backup', async () => {
  const id = await c.volume();
  const backup = (await post(id)).body.backup.id as string;
  expect((await c.admin('POST', `/v3/volumes/${id}/action`, { 'os-force_delete': {} })).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', `/v3/volumes/${id}`)).status).toBe(404);
  expect(await show(backup)).toMatchObject({ status: 'error', fail_reason: 'Cancelled.' });
  expect(c.drivers.get('one')?.held).not.toContain(`volume-${id}`);
});
test('lists', async () => {
  const [a, b] = [await c.volume(), await c.volume()];
  const [one, two] = [await made(a, { name: 'one' }), await made(b, { name: 'two' })];
  const ids = async (query: string, who = c.demo, version = '3.71') => (await who('GET', `/v3/backups${query}`, undefined, version)).body.backups?.map((x: { id: string }) => x.id);
  expect(await ids('')).toEqual([two, one]);
  expect(Object.keys((await c.demo('GET', '/v3/backups')).body.backups[0])).toEqual(['id', 'name', 'links']);
  expect(await ids('?name=one')).toEqual([one]);
  expect(await ids('?name~=w')).toEqual([two]);
  expect(await ids(`/detail?volume_id=${a}`)).toEqual([one]);
  expect(await ids('?status=error')).toEqual([]);
  expect(await ids('?sort=name:asc')).toEqual([one, two]);
  expect(await ids('?sort_key=created_at&sort_dir=asc')).toEqual([one, two]);
  expect(await ids('?limit=1')).toEqual([two]);
  expect(await ids(`?limit=1&marker=${two}`)).toEqual([one]);
  expect((await c.demo('GET', '/v3/backups?limit=1')).body.backups_links[0].href).toContain(`marker=${two}`);
  expect((await c.demo('GET', '/v3/backups?with_count=true&limit=1', undefined, '3.45')).body).toMatchObject({ count: 2 });
  expect((await c.demo('GET', '/v3/backups?bogus=1', undefined, '3.31')).status).toBe(400);
  expect(await ids('?bogus=1', c.demo, '3.30')).toEqual([two, one]);
  expect(await ids('', c.other)).toEqual([]);
  expect(await ids('?all_tenants=1', c.other)).toEqual([]);
  expect(await ids('?all_tenants=1', c.admin)).toEqual([two, one]);
  expect((await c.demo('GET', `/v3/backups?marker=${newId()}`)).status).toBe(404);
});
test('versions', async () => {
  const id = await c.volume();
  expect(await post(id, { metadata: {} }, '3.42')).toMatchObject({ status: 400 });
  expect(await post(id, { availability_zone: 'nova' }, '3.50')).toMatchObject({ status: 400 });
  expect(await post(id, { availability_zone: 'mars' }, '3.51')).toMatchObject({ status: 503, body: { serviceUnavailable: { message: 'Service cinder-backup could not be found.' } } });
  expect(await post(id, { bogus: 1 })).toMatchObject({ status: 400 });
  const backup = await made(id);
  const keys = async (version: string, who = c.admin) => Object.keys((await who('GET', `/v3/backups/${backup}`, undefined, version)).body.backup);
  const oldest = await keys('3.0');
  expect(oldest).toEqual(['id', 'status', 'size', 'object_count', 'availability_zone', 'container', 'created_at', 'updated_at', 'name', 'description', 'fail_reason', 'volume_id', 'links', 'is_incremental', 'has_dependent_backups', 'snapshot_id', 'data_timestamp']);
  expect((await keys('3.18')).filter(k => !oldest.includes(k))).toEqual(['os-backup-project-attr:project_id']);
  expect((await keys('3.43')).filter(k => !oldest.includes(k))).toEqual(['metadata', 'os-backup-project-attr:project_id']);
  expect((await keys('3.56')).filter(k => !oldest.includes(k))).toEqual(['metadata', 'os-backup-project-attr:project_id', 'user_id']);
  expect((await keys('3.71', c.demo)).filter(k => !oldest.includes(k))).toEqual(['metadata']);
  expect((await c.demo('PUT', `/v3/backups/${backup}`, { backup: { name: 'n' } }, '3.8')).status).toBe(404);
  expect(await c.demo('PUT', `/v3/backups/${backup}`, { backup: { name: ' n ', description: 'd' } }, '3.9')).toMatchObject({ status: 200, body: { backup: { id: backup, name: 'n' } } });
  expect((await c.demo('PUT', `/v3/backups/${backup}`, { backup: { metadata: { a: 'b' } } }, '3.42')).status).toBe(400);
  expect((await c.demo('PUT', `/v3/backups/${backup}`, { backup: { metadata: { a: 'b' } } }, '3.43')).status).toBe(200);
  expect((await c.demo('GET', `/v3/backups/${backup}`, undefined, '3.43')).body.backup).toMatchObject({ name: 'n', description: 'd', metadata: { a: 'b' } });
});
test('who can reach what: a directory of one host, a share of all', async () => {
  const id = await c.volume();
  const backup = await made(id);
  const { db } = c.t.rt;
  const told = (shared: boolean) => JSON.stringify({ targets: [{ name: 'backups', service: 's', shared, forceDelete: true }] });
  await db('volume_services').insert({ binary_name: 'cinder-backup', host: 'elsewhere', availability_zone: 'nova', capabilities: told(false) });
  try {
    await db('volume_backups').where({ id: backup }).update({ host: 'elsewhere' });
    // It lies on another host: this one can neither restore it nor build on it.
    expect(await c.demo('POST', `/v3/backups/${backup}/restore`, { restore: { volume_id: id } })).toMatchObject({ status: 503 });
    expect(sentence(await post(id, { incremental: true }))).toBe('Invalid backup: The parent backup must be available for incremental backup.');
    expect((await c.demo('DELETE', `/v3/backups/${backup}`)).status).toBe(202);
    expect(await db('tasks').where({ resource_id: backup, live: true }).first('queue')).toEqual({ queue: 'backup/elsewhere' });
    await c.t.drain();
    const shared = await made(id);
    await db('volume_backups').where({ id: shared }).update({ host: 'gone' });
    expect(await c.demo('DELETE', `/v3/backups/${shared}`)).toMatchObject({ status: 503 });
    await db('volume_services').where({ binary_name: 'cinder-backup' }).update({ capabilities: told(true) });
    expect((await c.demo('POST', `/v3/backups/${shared}/restore`, { restore: { volume_id: id } })).status).toBe(202);
    await c.t.drain();
    expect((await post(id, { incremental: true })).status).toBe(202);
    await c.t.drain();
  } finally {
    await db('volume_services').where({ host: 'elsewhere' }).delete();
    await c.report();
  }
});
test('no cinder-backup, no backups', async () => {
  const id = await c.volume();
  const backup = await made(id);
  await c.t.rt.db('volume_services').where({ binary_name: 'cinder-backup' }).update({ disabled: true });
  expect(await post(id)).toMatchObject({ status: 503 });
  expect(await c.demo('DELETE', `/v3/backups/${backup}`)).toMatchObject({ status: 503 });
  expect(await c.show(id)).toMatchObject({ status: 'available' });
  await c.t.rt.db('volume_services').where({ binary_name: 'cinder-backup' }).update({ disabled: false });
  expect((await c.admin('GET', '/v3/os-services?binary=cinder-backup')).body.services).toEqual([{ binary: 'cinder-backup', host: 'testhost', zone: 'nova', status: 'enabled', state: 'up', updated_at: expect.any(String), disabled_reason: null }]);
});
