import { decodeRecord, encodeRecord } from '@cumulet/drivers/backup';
import { newId } from '@cumulet/wire';
import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { sentence, testCloud, type TestCloud } from '../testing.ts';

/** Exported and imported records. */
let c: TestCloud;
let exporting: NodeJS.Timeout;
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'one' }] });
  // A request that waits for its task needs somebody at work.
  let busy = false;
  exporting = setInterval(() => { if (busy) return; busy = true; void c.t.drain().finally(() => { busy = false; }); }, 20);
});
afterAll(async () => { clearInterval(exporting); await new Promise(go => setTimeout(go, 100)); await c.close(); });
beforeEach(async () => {
  await c.t.rt.db('volume_backups').delete();
  await c.t.rt.db('quotas').delete();
  c.target.held.clear();
  await c.report();
});
const status = async (id: string): Promise<Record<string, unknown>> => {
  for (;;) {
    const { backup } = (await c.admin('GET', `/v3/backups/${id}`, undefined, '3.71')).body;
    if (!['creating', 'restoring', 'deleting'].includes(backup?.status)) return backup;
    await new Promise(go => setTimeout(go, 20));
  }
};
const made = async (volumeId: string, more: object = {}): Promise<string> => { const { id } = (await c.demo('POST', '/v3/backups', { backup: { volume_id: volumeId, ...more } }, '3.71')).body.backup; expect(await status(id)).toMatchObject({ status: 'available' }); return id; };
const exported = async (id: string) => (await c.admin('GET', `/v3/backups/${id}/export_record`)).body['backup-record'] as { backup_service: string; backup_url: string };
const imported = (record: object, who = c.admin) => who('POST', '/v3/backups/import_record', { 'backup-record': record });
const changed = (r: { backup_service: string; backup_url: string }, change: Record<string, unknown>) => ({ ...r, backup_url: encodeRecord({ ...decodeRecord(r.backup_url), ...change }) });

const recorded = new URL('../../../../shared/peer/golden/', import.meta.url);
test.skipIf(!existsSync(recorded))('a record has the members of upstream\'s, in its order', async () => {
  const theirs = JSON.parse(readFileSync(new URL('volume-backup-record-decoded.json', recorded), 'utf8')) as Record<string, unknown>;
  const volume = await c.volume();
  const id = await made(volume, { name: 'b', metadata: { a: 'b' } });
  const { backup_service, backup_url } = await exported(id);
  expect(backup_service).toBe('cumulet.backup.fake.FakeBackupDriver');
  const mine = decodeRecord(backup_url) as Record<string, unknown>;
  expect(Object.keys(mine)).toEqual(Object.keys(theirs));
  for (const [key, value] of Object.entries(theirs)) if (value !== null && mine[key] !== null) expect(typeof mine[key], key).toBe(typeof value);
  expect(mine).toMatchObject({ id, volume_id: volume, size: 1, display_name: 'b', metadata: { a: 'b' }, status: 'available', parent_id: null, created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) });
  expect((await c.demo('GET', `/v3/backups/${id}/export_record`)).status).toBe(403);
  await c.t.rt.db('volume_backups').where({ id }).update({ status: 'error' });
  expect(sentence(await c.admin('GET', `/v3/backups/${id}/export_record`))).toBe('Invalid backup: Backup status must be available and not error.');
});
test('what an import refuses at once', async () => {
  const id = await made(await c.volume());
  const r = await exported(id);
  expect(sentence(await imported(r))).toBe('Invalid backup: Backup already exists in database.');
  expect(await status(id)).toMatchObject({ status: 'available' });
  expect(await imported({ backup_service: 'x', backup_url: 'zzz' })).toMatchObject({ status: 400, body: { badRequest: { message: "Invalid input for field/attribute backup_url. Value: zzz. 'zzz' is not a 'base64'" } } });
  const says = async (record: object | string) => sentence(await imported({ ...r, backup_url: typeof record === 'string' ? Buffer.from(record).toString('base64') : encodeRecord(record as never) }));
  expect(await says('not json')).toBe("Invalid input received: Can't parse backup record.");
  for (const unholdable of ['\\u0000', '\\ud800']) expect(await says(`{"id": "${newId()}", "size": 1, "display_name": "${unholdable}"}`)).toBe("Invalid input received: Can't parse backup record.");
  expect(await says('[1]')).toBe("Invalid input received: Can't parse backup record.");
  expect(await says({ size: 1 })).toBe('Invalid input received: Provided backup record is missing an id');
  expect(await says({ id: newId() })).toBe('Invalid input received: Provided backup record is missing size attribute');
  for (const bad of [{ id: 'x', size: 1 }, { id: 7, size: 1 }, { id: newId(), size: -1 }, { id: newId(), size: 1e12 }, { id: newId(), size: '1; drop table' }, { id: newId(), size: 1, parent_id: 'x' }]) expect((await imported({ ...r, backup_url: encodeRecord(bad) })).status).toBe(400);
  expect((await imported(r, c.demo)).status).toBe(403);
  await c.admin('PUT', `/v3/os-quota-sets/${callers.admin.projectId}`, { quota_set: { backup_gigabytes: 0 } });
  expect((await imported(changed(r, { id: newId() }))).status).toBe(413);
});
test('the row is lost, the record brings it back under its id', async () => {
  const volume = await c.volume();
  const full = await made(volume, { name: 'full', description: 'd', metadata: { a: 'b' } });
  const delta = await made(volume, { incremental: true });
  const before = await status(delta);
  const records = [await exported(delta), await exported(full)];
  await c.t.rt.db('volume_backups').delete();
  // In any order: the child first.
  for (const r of records) {
    const answer = await imported(r);
    expect(answer).toMatchObject({ status: 201, body: { backup: { id: (decodeRecord(r.backup_url) as { id: string }).id, name: null, links: expect.any(Array) } } });
    expect(await status(answer.body.backup.id)).toMatchObject({ status: 'available', fail_reason: null });
  }
  const { updated_at: _, created_at: __, data_timestamp: ___, 'os-backup-project-attr:project_id': ____, user_id: _____, ...rest } = before;
  expect(await status(delta)).toMatchObject(rest);
  expect(await status(full)).toMatchObject({ name: 'full', description: 'd', volume_id: volume, metadata: { a: 'b' }, has_dependent_backups: true, 'os-backup-project-attr:project_id': callers.admin.projectId });
  const { restore } = (await c.admin('POST', `/v3/backups/${delta}/restore`, { restore: {} })).body;
  expect(await status(delta)).toMatchObject({ status: 'available' });
  expect(await c.show(restore.volume_id)).toMatchObject({ status: 'available' });
});
test('backups that build on each other in a circle restore nothing, and hang nothing', async () => {
  const volume = await c.volume();
  const [a, b] = [await made(volume), await made(volume)];
  const record = await exported(a);
  for (const [id, parent_id] of [[a, b], [b, a]]) await c.t.rt.db('volume_backups').where({ id }).update({ parent_id });
  expect((await c.admin('POST', `/v3/backups/${a}/restore`, { restore: { volume_id: volume } })).status).toBe(202);
  expect(await status(a)).toMatchObject({ status: 'available' });
  await expect.poll(async () => (await c.show(volume))['status']).toBe('error_restoring');
  await c.t.rt.db('volume_backups').delete();
  // A record that makes itself its parent is none; one that lies about its parent is found out.
  expect((await imported(changed(record, { parent_id: a, driver_info: {} }))).status).toBe(400);
  expect((await imported(changed(record, { parent_id: b, driver_info: {} }))).status).toBe(201);
  expect(await status(a)).toMatchObject({ status: 'error' });
});
test('a record under another id leads to the same objects, which go with the last of them', async () => {
  const id = await made(await c.volume());
  const copy = newId();
  expect((await imported(changed(await exported(id), { id: copy }))).status).toBe(201);
  expect(await status(copy)).toMatchObject({ status: 'available' });
  expect((await c.demo('DELETE', `/v3/backups/${id}`)).status).toBe(202);
  await status(id);
  // The copy still restores.
  expect((await c.admin('POST', `/v3/backups/${copy}/restore`, { restore: {} })).status).toBe(202);
  expect(await status(copy)).toMatchObject({ status: 'available' });
  // Nobody else leads to the objects any more, so nobody else could delete them.
  expect((await c.admin('DELETE', `/v3/backups/${copy}`)).status).toBe(202);
  await c.t.drain();
  expect([...c.target.held.values()].flatMap(objects => [...objects.keys()]).filter(name => name.includes(id))).toEqual([]);
});
test('two records of the same objects, deleted at once, leave none', async () => {
  const id = await made(await c.volume());
  const copy = newId();
  expect((await imported(changed(await exported(id), { id: copy }))).status).toBe(201);
  await status(copy);
  for (const one of [id, copy]) expect((await c.admin('DELETE', `/v3/backups/${one}`)).status).toBe(202);
  await c.t.drain();
  expect([...c.target.held.values()].flatMap(objects => [...objects.keys()]).filter(name => name.includes(id))).toEqual([]);
});
test('an import that cannot be true is an error that says why', async () => {
  const id = await made(await c.volume());
  const r = await exported(id);
  const failing = async (record: object) => {
    await c.t.rt.db('volume_backups').delete();
    const answer = await imported(record);
    expect(answer.status).toBe(201);
    const backup = await status(answer.body.backup.id);
    expect(backup['status']).toBe('error');
    return backup['fail_reason'];
  };
  expect(await failing({ ...r, backup_service: 'cinder.backup.drivers.ceph' })).toBe('Import record failed, cannot find backup service to perform the import. Request service cinder.backup.drivers.ceph.');
  const { container: _, ...without } = decodeRecord(r.backup_url) as Record<string, unknown>;
  expect(await failing({ ...r, backup_url: encodeRecord(without) })).toBe('Driver successfully decoded imported backup data, but there are missing fields (container).');
  expect(await failing(changed(r, { size: 2 }))).toBe('The signature of the backup record is not valid: the record was changed after it was signed.');
  expect(await failing(changed(r, { service_metadata: 'elsewhere', driver_info: {} }))).toEqual(expect.any(String));
  // What is there already is as it was: it can still be imported by its true record.
  await c.t.rt.db('volume_backups').delete();
  expect((await imported(r)).status).toBe(201);
  expect(await status(id)).toMatchObject({ status: 'available' });
  c.target.held.clear();
  expect(await failing(r)).toEqual(expect.any(String));
});
test.skipIf(!existsSync(recorded))('a record that upstream wrote is taken for what it is: unsigned', async () => {
  const theirs = readFileSync(new URL('volume/backup_export.json', recorded), 'utf8');
  const { 'backup-record': record } = (JSON.parse(theirs) as { exchanges: { response: { body: { 'backup-record': { backup_service: string; backup_url: string } } } }[] }).exchanges[0]?.response.body ?? { 'backup-record': { backup_service: '', backup_url: '' } };
  const answer = await imported({ ...record, backup_service: 'cumulet.backup.fake.FakeBackupDriver' });
  expect(answer).toMatchObject({ status: 201, body: { backup: { id: '2b9f2b9d-de6a-48ed-87b2-72c7ffa6aa82' } } });
  // Its objects are not here.
  expect(await status(answer.body.backup.id)).toMatchObject({ status: 'error', fail_reason: expect.stringMatching(/is missing/) });
});
