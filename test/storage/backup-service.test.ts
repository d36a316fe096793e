import { fileDriver } from '@cumulet/drivers/block';
import { createRunner } from '@cumulet/exec';
import { makeApp as makeCatalogue } from '@cumulet/backupcatalogue';
import { bootstrap, makeApp, openWork } from '@cumulet/volume';
import type { FastifyInstance } from 'fastify';
import { createHash, randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, testRuntime, type TestRuntime } from '../harness/service.ts';
import { startSwift, type RealSwift } from './swift.ts';

/** The backup service as it is configured, on a real Swift and real files: from the API to the objects and back. */
const home = mkdtempSync('/tmp/cumulet-backup-service-');
let swift: RealSwift;
let t: TestRuntime;
let app: FastifyInstance;
let catalogue: FastifyInstance;
let close: (() => Promise<void>) | undefined;
let atWork: NodeJS.Timeout;
beforeAll(async () => {
  swift = await startSwift(join(home, 'swift'));
  t = await testRuntime({ CUMULET_BACKUP_TARGETS: JSON.stringify([{ name: 'swift', driver: 'swift', container: 'volumebackups', objectBytes: 4 << 20, swift: { authUrl: swift.authUrl, user: swift.user, key: swift.key } }]) });
  // Nobody reports here, however long a busy machine takes.
  Object.assign(t.rt.settings.volume, { serviceDownSeconds: 3_600 });
  await bootstrap(t.rt);
  const work = await openWork(t.rt, () => fileDriver({ name: 'file', directory: join(home, 'volumes'), format: 'raw', host: 'testhost', runner: createRunner({ log: t.rt.log }) }));
  close = work.close;
  t.serve(work);
  await work.start?.();
  app = await makeApp(t.rt);
  catalogue = await makeCatalogue(t.rt);
  let busy = false;
  atWork = setInterval(() => { if (busy) return; busy = true; void t.drain().finally(() => { busy = false; }); }, 50);
}, 300_000);
afterAll(async () => {
  clearInterval(atWork);
  await new Promise(go => setTimeout(go, 200));
  await close?.();
  await catalogue?.close();
  await app?.close();
  await t?.close();
  await swift?.stop();
  rmSync(home, { recursive: true, force: true });
}, 60_000);

const admin = (...a: Parameters<ReturnType<typeof as>>) => as(app, 'admin', 'volume')(...a);
const path = (id: string) => join(home, 'volumes', `volume-${id}`);
const put = (id: string, at: number, bytes: Buffer) => { const f = openSync(path(id), 'r+'); try { writeSync(f, bytes, 0, bytes.length, at); } finally { closeSync(f); } };
const sum = (id: string) => { const bytes = Buffer.alloc(48 << 20); const f = openSync(path(id), 'r'); try { readSync(f, bytes, 0, bytes.length, 0); } finally { closeSync(f); } return createHash('sha256').update(bytes).digest('hex'); };
const settled = async (kind: 'volumes' | 'backups', id: string): Promise<Record<string, unknown>> => {
  for (;;) {
    const row = (await admin('GET', `/v3/${kind}/${id}`)).body[kind.slice(0, -1)] as Record<string, unknown>;
    if (!['creating', 'restoring', 'restoring-backup', 'backing-up', 'deleting'].includes(String(row['status']))) return row;
    await new Promise(go => setTimeout(go, 100));
  }
};
const backup = async (volumeId: string, incremental: boolean): Promise<string> => {
  const r = await admin('POST', '/v3/backups', { backup: { volume_id: volumeId, incremental } });
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  expect(await settled('backups', r.body.backup.id)).toMatchObject({ status: 'available', fail_reason: null, container: 'volumebackups' });
  return r.body.backup.id;
};
const restored = async (backupId: string): Promise<string> => {
  const r = await admin('POST', `/v3/backups/${backupId}/restore`, { restore: {} });
  expect(r.status, JSON.stringify(r.body)).toBe(202);
  expect(await settled('volumes', r.body.restore.volume_id)).toMatchObject({ status: 'available' });
  return r.body.restore.volume_id;
};

test('full, increments, restore, verification, import, rebuild and deletion on a real Swift', async () => {
  const { id } = (await admin('POST', '/v3/volumes', { volume: { size: 1, name: 'v' } })).body.volume;
  await settled('volumes', id);
  put(id, 0, randomBytes(20 << 20));
  const points: { backup: string; sum: string }[] = [];
  for (let i = 0; i < 4; i++) {
    points.push({ backup: await backup(id, i > 0), sum: sum(id) });
    put(id, (i * 7 + 1) << 20, i === 1 ? Buffer.alloc(3 << 20) : randomBytes(100_000));
  }
  for (const p of points) expect(sum(await restored(p.backup))).toBe(p.sum);
  const [full, last] = [points[0]?.backup ?? '', points.at(-1)?.backup ?? ''];
  expect((await as(catalogue, 'admin')('POST', `/v1/backups/${last}/verify`, {})).status).toBe(202);
  await expect.poll(async () => (await as(catalogue, 'admin')('GET', `/v1/backups/${last}`)).body.backup.verified_at, { timeout: 60_000 }).not.toBeNull();
  expect((await as(catalogue, 'admin')('GET', `/v1/backups/${last}`)).body.backup).toMatchObject({ problem: null, complete: true });

  const records = [];
  for (const p of points) records.push((await admin('GET', `/v3/backups/${p.backup}/export_record`)).body);
  expect(records[0]['backup-record'].backup_service).toBe('cinder.backup.drivers.swift.SwiftBackupDriver');
  await t.rt.db('volume_backups').delete();
  for (const r of records) expect((await admin('POST', '/v3/backups/import_record', r)).status).toBe(201);
  for (const p of points) expect(await settled('backups', p.backup)).toMatchObject({ status: 'available', fail_reason: null });
  expect(sum(await restored(last))).toBe(points.at(-1)?.sum);

  await t.rt.db('volume_backups').delete();
  const { operation } = (await as(catalogue, 'admin')('POST', '/v1/rebuild', {})).body;
  await expect.poll(async () => (await as(catalogue, 'admin')('GET', `/v1/rebuild/${operation.id}`)).body.rebuild.state, { timeout: 60_000 }).toBe('done');
  expect((await as(catalogue, 'admin')('GET', `/v1/rebuild/${operation.id}`)).body.rebuild).toMatchObject({ found: 4, known: 0, broken: [] });
  expect(sum(await restored(last))).toBe(points.at(-1)?.sum);

  expect((await admin('DELETE', `/v3/backups/${full}`)).status).toBe(400);
  for (const p of points.toReversed()) {
    expect((await admin('DELETE', `/v3/backups/${p.backup}`)).status).toBe(202);
    await expect.poll(async () => (await admin('GET', `/v3/backups/${p.backup}`)).status, { timeout: 60_000 }).toBe(404);
  }
  const after = (await as(catalogue, 'admin')('POST', '/v1/rebuild', {})).body.operation.id;
  await expect.poll(async () => (await as(catalogue, 'admin')('GET', `/v1/rebuild/${after}`)).body.rebuild, { timeout: 60_000 }).toMatchObject({ state: 'done', found: 0 });
});
