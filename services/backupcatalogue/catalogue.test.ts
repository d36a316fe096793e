import { newId } from '@cumulet/wire';
import type { FastifyInstance } from 'fastify';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { as, callers } from '../../test/harness/service.ts';
import { pruneSchedules, runSchedules } from '../volume/backups/keeper.ts';
import { sentence, testCloud, type TestCloud } from '../volume/testing.ts';
import { makeApp } from './index.ts';

let c: TestCloud;
let app: FastifyInstance;
let now = Date.now();
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'one' }] });
  app = await makeApp(c.t.rt);
  Object.assign(c.t.rt, { clock: () => now });
});
afterAll(async () => { await app.close(); await c.close(); });
beforeEach(async () => {
  await c.t.rt.db('volume_backups').delete();
  await c.t.rt.db('volume_backup_schedules').delete();
  c.target.held.clear();
  c.target.faults.clear();
  now = Date.now();
  await c.report();
});
const demo = (...a: Parameters<ReturnType<typeof as>>) => as(app, 'demo')(...a);
const admin = (...a: Parameters<ReturnType<typeof as>>) => as(app, 'admin')(...a);
const made = async (volume_id: string, more: object = {}): Promise<string> => {
  const r = await c.demo('POST', '/v3/backups', { backup: { volume_id, ...more } }, '3.71');
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  await c.t.drain();
  return r.body.backup.id;
};
const chain = async () => {
  const volume = await c.volume();
  const full = await made(volume, { name: 'full', metadata: { a: 'b' } });
  return { volume, full, first: await made(volume, { incremental: true }), second: await made(volume, { incremental: true }) };
};
const rows = () => c.t.rt.db('volume_backups').orderBy('id').select('id', 'project_id', 'user_id', 'name', 'volume_id', 'parent_id', 'status', 'size', 'object_count', 'container', 'service_metadata', 'data_timestamp', 'created_at', 'metadata', 'target', 'host', 'availability_zone');
const rebuild = async (body: object = {}) => {
  const r = await admin('POST', '/v1/rebuild', { rebuild: body });
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  await c.t.drain();
  return (await admin('GET', `/v1/rebuild/${r.body.operation.id}`)).body.rebuild;
};

test('the catalogue is made anew without any record', async () => {
  const { full, second } = await chain();
  const before = await rows();
  await c.t.rt.db('volume_backups').delete();
  expect(await rebuild({ dry_run: true })).toMatchObject({ state: 'done', found: 3, known: 0, broken: [] });
  expect(await rows()).toEqual([]);
  expect(await rebuild()).toMatchObject({ state: 'done', target: 'backups', found: 3, created: expect.arrayContaining([full, second]), known: 0, broken: [] });
  expect(await rows()).toEqual(before);
  // A second time changes nothing.
  expect(await rebuild()).toMatchObject({ found: 3, created: [], known: 3 });
  expect(await rows()).toEqual(before);
  expect((await c.demo('POST', `/v3/backups/${second}/restore`, { restore: {} })).status).toBe(202);
  await c.t.drain();
  expect((await c.demo('GET', `/v3/backups/${second}`)).body.backup.status).toBe('available');
  await c.t.rt.db('volume_backups').delete();
  await rebuild({ adopt: true });
  expect(new Set((await rows()).map((r: { project_id: string }) => r.project_id))).toEqual(new Set([callers.admin.projectId]));
  expect((await demo('POST', '/v1/rebuild', {})).status).toBe(403);
  expect((await admin('POST', '/v1/rebuild', { rebuild: { target: 'none' } })).status).toBe(400);
  expect((await admin('GET', `/v1/rebuild/${newId()}`)).status).toBe(404);
});
test('what is damaged is told, and does not pretend', async () => {
  const { full, first, second } = await chain();
  const row = await c.t.rt.db('volume_backups').where({ id: first }).first();
  await c.t.rt.db('volume_backups').delete();
  const objects = c.target.held.get(row.container) as Map<string, Buffer>;
  const name = [...objects.keys()].find(n => n.startsWith(row.service_metadata) && n.endsWith('_metadata')) as string;
  objects.set(name, Buffer.from('{"version": "1.0.0"'));
  const result = await rebuild();
  expect(result.broken.map((b: { id: string }) => b.id)).toContain(second);
  const of = async (id: string) => c.t.rt.db('volume_backups').where({ id }).first('status', 'fail_reason');
  expect(await of(full)).toMatchObject({ status: 'available' });
  expect(await of(second)).toMatchObject({ status: 'error', fail_reason: expect.stringContaining(first) });
});
test('verification names the object, and a backup that would not restore is available no more', async () => {
  const volume = await c.volume();
  const w = await c.drivers.get('one')?.data.write({ taskId: 't', signal: new AbortController().signal, progress() {}, log: c.t.rt.log as never }, { name: `volume-${volume}`, sizeGiB: 1 }, { offset: 0 });
  await new Promise<void>(done => w?.end(randomBytes(1 << 20), () => done()));
  const full = await made(volume);
  const second = await made(volume, { incremental: true });
  const verify = async (id: string, depth?: string) => {
    const r = await demo('POST', `/v1/backups/${id}/verify`, depth ? { verify: { depth } } : {});
    expect(r.status, JSON.stringify(r.body)).toBe(202);
    await c.t.drain();
    return (await demo('GET', `/v1/backups/${id}`)).body.backup;
  };
  expect(await verify(second)).toMatchObject({ status: 'available', problem: null, verified_at: expect.any(String), complete: true, chain: [{ id: full, is_incremental: false }, { id: second, is_incremental: true }] });
  const row = await c.t.rt.db('volume_backups').where({ id: full }).first();
  const objects = c.target.held.get(row.container) as Map<string, Buffer>;
  const [name, bytes] = [...objects].find(([n]) => n.endsWith('-00001') && !n.includes('_part')) as [string, Buffer];

  const flipped = Buffer.from(bytes);
  flipped[flipped.length >> 1] = (flipped[flipped.length >> 1] ?? 0) ^ 1;
  objects.set(name, flipped);
  expect(await verify(second, 'objects')).toMatchObject({ status: 'available' });
  expect(await verify(second)).toMatchObject({ status: 'error', problem: expect.stringContaining(name) });
  expect((await c.demo('GET', `/v3/backups/${second}`)).body.backup).toMatchObject({ status: 'error', fail_reason: expect.stringContaining(name) });
  // So does what it builds on, and nobody has to look: the object is that one's.
  expect((await demo('GET', `/v1/backups/${full}`)).body.backup).toMatchObject({ status: 'error', problem: expect.stringContaining(name) });
  // The object comes back, from another copy of the target: a look at sizes does not tell, reading all of it does.
  objects.set(name, bytes);
  expect(await verify(second, 'objects')).toMatchObject({ status: 'error', problem: expect.stringContaining(name) });
  expect(await verify(second)).toMatchObject({ status: 'available', problem: null, last_problem: expect.stringContaining(name), last_problem_at: expect.any(String) });
  expect((await c.demo('GET', `/v3/backups/${second}`)).body.backup).toMatchObject({ status: 'available', fail_reason: null });
  expect((await demo('GET', `/v1/backups/${full}`)).body.backup).toMatchObject({ status: 'available', problem: null });
  // An administrator's word is not taken back by a verification, nor is another failure.
  expect((await c.admin('POST', `/v3/backups/${second}/action`, { 'os-reset_status': { status: 'error' } })).status).toBe(202);
  expect(await verify(second)).toMatchObject({ status: 'error', problem: null });
  expect((await c.admin('POST', `/v3/backups/${second}/action`, { 'os-reset_status': { status: 'available' } })).status).toBe(202);
  objects.set(name, flipped);
  // A restore of it says the same, and the volume that it was to fill says that it is not filled.
  const target = (await c.demo('POST', `/v3/backups/${full}/restore`, { restore: {} })).body.restore.volume_id;
  await c.t.drain();
  expect(await c.show(target)).toMatchObject({ status: 'error_restoring' });
  expect((await as(app, 'other')('GET', `/v1/backups/${full}`)).status).toBe(404);
  expect((await as(app, 'reader')('POST', `/v1/backups/${full}/verify`, {})).status).toBe(403);
  expect((await demo('POST', `/v1/backups/${full}/verify`, { verify: { depth: 'deep' } })).status).toBe(400);
  expect((await admin('GET', '/v1/targets')).body.targets).toEqual([{ name: 'backups', service: 'cumulet.backup.fake.FakeBackupDriver', host: 'testhost', availability_zone: 'nova', shared: false }]);
});
test('schedules make backups, count increments, and keep what they are told to', async () => {
  const volume = await c.volume();
  const wish = { volume_id: volume, name: 'nightly', every_seconds: 3_600, keep: 3, increments: 2 };
  expect((await demo('POST', '/v1/schedules', { schedule: { ...wish, every_seconds: 5 } })).status).toBe(400);
  expect((await as(app, 'other')('POST', '/v1/schedules', { schedule: wish })).status).toBe(404);
  expect((await as(app, 'reader')('POST', '/v1/schedules', { schedule: wish })).status).toBe(403);
  const { status, body } = await demo('POST', '/v1/schedules', { schedule: wish });
  expect(status, JSON.stringify(body)).toBe(201);
  const { id } = body.schedule;
  expect(body.schedule).toMatchObject({ name: 'nightly', enabled: true, keep: 3, increments: 2, force: true, last_error: null });
  const pass = async () => { now += 3_600_000; await runSchedules(c.t.rt); await c.t.drain(); for (let i = 0; i < 4; i++) { await pruneSchedules(c.t.rt); await c.t.drain(); } };
  await runSchedules(c.t.rt);
  expect(await c.t.rt.db('volume_backups')).toEqual([]);
  const kinds = async () => (await c.t.rt.db('volume_backups').orderBy('data_timestamp').select('parent_id', 'status')).map((r: { parent_id: string | null; status: string }) => `${r.parent_id ? 'i' : 'F'}${r.status === 'available' ? '' : '!'}`).join('');
  await pass();
  expect(await kinds()).toBe('F');
  await pass();
  await pass();
  expect(await kinds()).toBe('Fii');
  await pass();
  // The oldest has expired, but others build on it.
  expect(await kinds()).toBe('FiiF');
  await pass();
  await pass();
  // The whole first chain has expired.
  expect(await kinds()).toBe('Fii');
  expect((await demo('GET', `/v1/schedules/${id}`)).body.schedule).toMatchObject({ last_error: null, last_backup_id: expect.any(String) });
  // A volume that is busy is tried again soon.
  await c.t.rt.db('volumes').where({ id: volume }).update({ status: 'error' });
  await pass();
  expect((await demo('GET', `/v1/schedules/${id}`)).body.schedule).toMatchObject({ last_error: expect.stringMatching(/must be available or in-use/) });
  await c.t.rt.db('volumes').where({ id: volume }).update({ status: 'available' });
  now += 61_000;
  await runSchedules(c.t.rt);
  await c.t.drain();
  expect(await kinds()).toBe('FiiF');
  expect((await demo('PATCH', `/v1/schedules/${id}`, { schedule: { enabled: false } })).body.schedule).toMatchObject({ enabled: false });
  await pass();
  expect(await kinds()).toBe('FiiF');
  expect((await as(app, 'other')('GET', `/v1/schedules/${id}`)).status).toBe(404);
  expect((await demo('GET', '/v1/schedules')).body.schedules).toHaveLength(1);
  expect((await as(app, 'other')('GET', '/v1/schedules')).body.schedules).toEqual([]);
  expect((await demo('GET', '/v1/schedules?all_projects=1')).status).toBe(403);
  expect((await admin('GET', '/v1/schedules?all_projects=1')).body.schedules).toHaveLength(1);
  expect((await demo('DELETE', `/v1/schedules/${id}`)).status).toBe(204);
  expect(sentence(await demo('GET', `/v1/schedules/${id}`))).toBe(`Schedule ${id} could not be found.`);
  expect(await kinds()).toBe('FiiF');
});
