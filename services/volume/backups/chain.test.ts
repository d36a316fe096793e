import { encodeRecord, posixBackupDriver, type BackupDriver } from '@cumulet/drivers/backup';
import { fileDriver } from '@cumulet/drivers/block';
import { createRunner } from '@cumulet/exec';
import { Killed } from '@cumulet/tasks';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '@cumulet/wire';
import { as, callers, testRuntime, type TestRuntime } from '../../../test/harness/service.ts';
import { bootstrap, makeApp, openWork } from '../index.ts';
import type { FastifyInstance } from 'fastify';

/** Real files, a real directory: what was written at each moment comes back bit for bit. */
const home = mkdtempSync(join(tmpdir(), 'cumulet-chain-'));
let t: TestRuntime;
let app: FastifyInstance;
let close: () => Promise<void>;
/** Time flies here, so that what a kill can cost is little on a fast machine too. */
let ms = 0;
const slow = () => (ms += 1_000);
let target: BackupDriver;
beforeAll(async () => {
  t = await testRuntime();
  await bootstrap(t.rt);
  // Nobody reports here, however long a busy machine takes.
  Object.assign(t.rt.settings.volume, { serviceDownSeconds: 3_600, backends: [{ name: 'file', driver: 'file', format: 'raw', reservedPercentage: 0, maxOverSubscriptionRatio: 20, totalGiB: 1 }] });
  const work = await openWork(t.rt, () => fileDriver({ name: 'file', directory: join(home, 'volumes'), format: 'raw', host: 'testhost', runner: createRunner({ log: t.rt.log }) }), () => target = posixBackupDriver({ name: 'backups', directory: join(home, 'backups'), objectBytes: 1 << 20, now: slow }));
  t.serve(work);
  await work.start?.();
  app = await makeApp(t.rt);
  close = async () => { await work.close?.(); };
  await as(app, 'admin', 'volume')('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set: { volumes: -1, gigabytes: -1, backups: -1, backup_gigabytes: -1 } });
});
afterAll(async () => { await close(); await app.close(); await t.close(); rmSync(home, { recursive: true, force: true }); });

const demo = (...a: Parameters<ReturnType<typeof as>>) => as(app, 'demo', 'volume')(...a);
const file = (id: string) => join(home, 'volumes', `volume-${id}`);
const read = (id: string, from: number, bytes: number): Buffer => { const out = Buffer.alloc(bytes); const f = openSync(file(id), 'r'); try { readSync(f, out, 0, bytes, from); } finally { closeSync(f); } return out; };
const put = (id: string, at: number, bytes: Buffer) => { const f = openSync(file(id), 'r+'); try { writeSync(f, bytes, 0, bytes.length, at); } finally { closeSync(f); } };
const GiB = 2 ** 30;
/** Where tests write: both ends and the middle of the volume. */
const windows = [[0, 4 << 20], [GiB / 2 - (1 << 20), 3 << 20], [GiB - (2 << 20), 2 << 20]] as const;
const sum = (id: string) => windows.reduce((h, [at, n]) => h.update(read(id, at, n)), createHash('sha256')).digest('hex');
const ok = async (r: { status: number; body: unknown }, wanted: number) => { expect(r.status, JSON.stringify(r.body)).toBe(wanted); await t.drain(); };
const volume = async () => { const r = await demo('POST', '/v3/volumes', { volume: { size: 1 } }); await ok(r, 202); return r.body.volume.id as string; };
const backup = async (id: string, incremental: boolean) => {
  const r = await demo('POST', '/v3/backups', { backup: { volume_id: id, incremental } });
  await ok(r, 202);
  expect((await demo('GET', `/v3/backups/${r.body.backup.id}`)).body.backup).toMatchObject({ status: 'available', fail_reason: null });
  return r.body.backup.id as string;
};
const restore = async (backupId: string, to: string) => { await ok(await demo('POST', `/v3/backups/${backupId}/restore`, { restore: { volume_id: to } }), 202); expect((await demo('GET', `/v3/volumes/${to}`)).body.volume.status).toBe('available'); };

test('a full backup and twenty increments, restored at each point', async () => {
  const id = await volume();
  put(id, 0, randomBytes(2 << 20));
  const points: { backup: string; sum: string }[] = [];
  for (let i = 0; i <= 20; i++) {
    points.push({ backup: await backup(id, i > 0), sum: sum(id) });
    const [at, length] = windows[i % 3] as (typeof windows)[number];
    put(id, at + (i * 37_777) % (length - 5_000), i % 4 === 3 ? Buffer.alloc(5_000) : randomBytes(5_000));
  }
  expect(new Set(points.map(p => p.sum)).size).toBeGreaterThan(15);
  const target = await volume();
  // Into one volume, in an order that goes back and forth: what an earlier restore left must not show.
  for (const i of [20, 0, 10, 1, 19, 5, 2, 15, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18]) {
    await restore(points[i]?.backup ?? '', target);
    expect(sum(target), `point ${i}`).toBe(points[i]?.sum);
  }
}, 480_000);

test('random writes, random restores', async () => {
  let seed = 20261121;
  const random = (below: number) => { seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0; return seed % below; };
  const [id, target] = [await volume(), await volume()];
  const points: { backup: string; sum: string }[] = [];
  for (let i = 0; i < 8; i++) {
    for (let n = random(6); n >= 0; n--) {
      const [at, length] = windows[random(3)] as (typeof windows)[number];
      const bytes = 1 + random(300_000);
      const from = at + random(length - bytes);
      put(id, from, random(3) === 0 ? Buffer.alloc(bytes) : Buffer.alloc(bytes, randomBytes(1 + random(5_000))));
    }
    points.push({ backup: await backup(id, i > 0 && random(4) > 0), sum: sum(id) });
    const chosen = points[random(points.length)];
    await restore(chosen?.backup ?? '', target);
    expect(sum(target)).toBe(chosen?.sum);
  }
}, 480_000);

test('a worker that dies while it copies: the next one goes on behind what is stored', async () => {
  const id = await volume();
  put(id, 0, randomBytes(48 << 20));
  const { id: made } = (await demo('POST', '/v3/backups', { backup: { volume_id: id } })).body.backup;
  const task = await t.rt.db('tasks').where({ resource_id: made, live: true }).first('id');
  // As kill -9 does: nothing is saved, nothing is cleaned; here in the midst of the copy.
  const whole = target.backup;
  let moved = 0;
  Object.assign(target, { backup: (call: Parameters<typeof whole>[0], job: Parameters<typeof whole>[1]) => {
    const dying = new AbortController();
    return whole({ ...call, signal: AbortSignal.any([call.signal, dying.signal]), progress: (done, total) => { call.progress(done, total); if (done > moved) moved = done; if (done > 24 << 20) dying.abort(new Killed()); } }, job);
  } });
  await t.runner().run(task.id);
  Object.assign(target, { backup: whole });
  expect(moved).toBeGreaterThan(24 << 20);
  expect((await demo('GET', `/v3/backups/${made}`)).body.backup.status).toBe('creating');
  await t.rt.db('tasks').where({ id: task.id }).update({ lease_until: null, owner: null, run_after: t.rt.db.fn.now() });
  await t.drain();
  expect((await demo('GET', `/v3/backups/${made}`)).body.backup).toMatchObject({ status: 'available' });
  const { out } = await t.rt.db('tasks').where({ id: task.id }).first('out');
  expect(out.copy.read).toBeLessThan(48 << 20);
  const restoredTo = await volume();
  await restore(made, restoredTo);
  for (let at = 0; at < 48 << 20; at += 4 << 20) expect(read(restoredTo, at, 4 << 20).equals(read(id, at, 4 << 20))).toBe(true);
}, 480_000);

test('hostile records lead nowhere', async () => {
  const outside = join(home, 'outside');
  mkdirSync(outside);
  writeFileSync(join(outside, 'x_metadata'), '{"version": "1.0.0", "backup_id": "x", "volume_id": "x", "created_at": "now", "objects": []}');
  const admin = as(app, 'admin', 'volume');
  const places: Record<string, unknown>[] = [{ container: '../outside', service_metadata: 'x' }, { container: outside, service_metadata: 'x' }, { container: 'a/b', service_metadata: '../../../outside/x' }, { container: '', service_metadata: '' }, { container: 'a\u0000', service_metadata: 'x' }, { container: 'x'.repeat(5_000), service_metadata: 'x' }];
  for (const place of places) {
    const id = newId();
    const r = await admin('POST', '/v3/backups/import_record', { 'backup-record': { backup_service: 'cinder.backup.drivers.posix', backup_url: encodeRecord({ id, size: 1, display_name: null, display_description: null, object_count: 1, ...place }) } });
    expect([201, 400], JSON.stringify(r.body)).toContain(r.status);
    await t.drain();
    if (r.status === 400) continue;
    expect((await admin('GET', `/v3/backups/${id}`)).body.backup).toMatchObject({ status: 'error', fail_reason: expect.any(String) });
    expect((await admin('DELETE', `/v3/backups/${id}`)).status).toBe(202);
    await t.drain();
    expect((await admin('GET', `/v3/backups/${id}`)).status).toBe(404);
  }
  expect(readFileSync(join(outside, 'x_metadata'), 'utf8')).toContain('1.0.0');
});
