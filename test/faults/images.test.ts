import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { deletePlan } from '../../services/image/images/tasks.ts';
import { importPlan } from '../../services/image/imports/tasks.ts';
import { eventually } from '../harness/processes.ts';
import { faultyCloud, type FaultyCloud } from './cloud.ts';
import { all, killedAtEachPoint, pointsOf, times } from './kill.ts';
import { Points } from './points.ts';

// kill -9 of the API and of the worker in every phase of an image's life: nothing is stuck, and no staged or stored byte is left of what was not finished.
let f: FaultyCloud;
let points: Points;
let server: Server;
let url = '';
const content = randomBytes(3_000_001);
beforeAll(async () => {
  server = createServer((_req, res) => { res.writeHead(200, { 'content-length': content.length, etag: '"1"' }).end(content); });
  await new Promise<void>((done) => { server.listen(0, '127.0.0.1', done); });
  const { port } = server.address() as AddressInfo;
  url = `http://127.0.0.1:${port}/image`;
  f = await faultyCloud({
    CUMULET_IMAGE_STORES: '[{id: file, driver: file, path: images, default: true}, {id: spare, driver: file, path: spare}]', CUMULET_IMAGE_FETCH_PORTS: `[${port}]`, CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]',
  });
  points = new Points(f.db());
  await points.install();
});
afterAll(async () => {
  server?.close();
  await f?.end();
});
/** What lies in the stores and the staging area is what active images say, to the byte. */
afterEach(async () => {
  await points.open({ killed: false });
  await f.settled();
  const wanted: string[] = (await f.db()('images').where({ status: 'active' }).select('locations')).flatMap((row: { locations: { url: string }[] }) => row.locations.map((l) => l.url.replace('file://', '')));
  const there = ['images', 'spare', 'staging'].flatMap((folder) => files(join(f.cloud.home, folder)));
  expect(there.toSorted()).toEqual(wanted.toSorted());
  expect(await f.db()('images').whereNotNull('task_id').orWhereNotNull('copy_task_id').select('id', 'status')).toEqual([]);
  expect(await f.db()('image_leftovers').select()).toEqual([]);
});
const files = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name)) : []);

const image = async (): Promise<string> => (await f.call('image', 'POST', '/v2/images', { name: 'x', disk_format: 'raw', container_format: 'bare' })).body.id;
const begin = async (id: string, method: object, stores?: string[], as: 'demo' | 'admin' = 'demo') => {
  const answer = await f.call('image', 'POST', `/v2/images/${id}/import`, { method, ...(stores ? { stores } : {}) }, as);
  expect(answer.status, JSON.stringify(answer.body)).toBe(202);
  return id;
};
const show = async (id: string) => { const { status, body } = await f.call('image', 'GET', `/v2/images/${id}`); return status === 200 ? `${body.status} ${body.stores ?? ''}`.trim() : String(status); };
const states = (ids: readonly string[]) => Promise.all(ids.map(show));
const uploaded = async (): Promise<string> => {
  const id = await image();
  expect((await f.send('image', 'PUT', `/v2/images/${id}/file`, content)).status).toBe(204);
  return id;
};
const count = (plan: typeof importPlan | typeof deletePlan) => pointsOf(plan).length;

describe.each(['worker', 'api'] as const)('SIGKILL of the %s', (victim) => {
  let images: string[] = [];
  test('at every step of a web-download', async () => {
    images = await killedAtEachPoint(f, points, victim, importPlan, async () => begin(await image(), { name: 'web-download', uri: url }));
    expect(await states(images)).toEqual(all(images.length, 'active file'));
  });
  test('at every step of an import of staged data, into two stores', async () => {
    const staged = await times(count(importPlan), async () => {
      const id = await image();
      expect((await f.send('image', 'PUT', `/v2/images/${id}/stage`, content)).status).toBe(204);
      return id;
    });
    await killedAtEachPoint(f, points, victim, importPlan, (n) => begin(staged[n] as string, { name: 'glance-direct' }, ['file', 'spare']));
    expect(await states(staged)).toEqual(all(staged.length, 'active file,spare'));
    images.push(...staged);
  });
  test('at every step of a copy to another store', async () => {
    const some = images.slice(0, count(importPlan));
    await killedAtEachPoint(f, points, victim, importPlan, (n) => begin(some[n] as string, { name: 'copy-image' }, ['spare'], 'admin'));
    expect(await states(some)).toEqual(all(some.length, 'active file,spare'));
  });
  test('at every step of deletion', async () => {
    const some = images.splice(0, count(deletePlan));
    await killedAtEachPoint(f, points, victim, deletePlan, async (n) => {
      expect((await f.call('image', 'DELETE', `/v2/images/${some[n]}`)).status).toBe(204);
      return some[n] as string;
    });
    expect(await states(some)).toEqual(all(some.length, '404'));
    await Promise.all(images.map((id) => f.call('image', 'DELETE', `/v2/images/${id}`)));
  });
});

test('SIGKILL of the API in the middle of uploads and of staging: they are queued again, and can be sent again', async () => {
  const ids = await times(4, image);
  const stalled = ids.map((id, n) => f.send('image', 'PUT', `/v2/images/${id}/${n % 2 === 0 ? 'file' : 'stage'}`, new ReadableStream({ start(sink) { sink.enqueue(content); } })).catch(() => undefined));
  await eventually(async () => (await f.db()('images').whereIn('id', ids).whereIn('status', ['saving', 'staging'])).length === ids.length, 30_000, 'uploads under way');
  await f.cloud.kill('api');
  await Promise.all(stalled);
  await eventually(async () => (await states(ids)).every((s) => s === 'queued'), 60_000, 'queued images');
  for (const id of ids) expect((await f.send('image', 'PUT', `/v2/images/${id}/file`, content)).status).toBe(204);
  expect(await states(ids)).toEqual(all(4, 'active file'));
});

test('deletion in the middle of an upload leaves no byte', async () => {
  const id = await image();
  const stalled = f.send('image', 'PUT', `/v2/images/${id}/file`, new ReadableStream({ start(sink) { sink.enqueue(content); } })).catch(() => undefined);
  await eventually(async () => (await show(id)) === 'saving', 30_000, 'an upload under way');
  expect((await f.call('image', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
  const answer = await stalled;
  if (answer) expect(answer.status).toBe(410);
  await f.settled();
  expect(await show(id)).toBe('404');
});

test('SIGKILL of the worker in the middle of a download that is slow: it goes on', async () => {
  const keep = await uploaded();
  const id = await begin(await image(), { name: 'web-download', uri: url });
  await f.cloud.kill('worker');
  await f.settled();
  expect(await states([id, keep])).toEqual(['active file', 'active file']);
});
