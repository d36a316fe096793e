import { provePlan, type Try } from '@cumulet/tasks/testing';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { openTestImages, type TestImages } from '../../test/harness/image.ts';
import { openWeb, type Web } from '../../test/harness/web.ts';
import { cacheFolder, cachePlan, uncachePlan } from './caching/tasks.ts';
import { resumablePlan } from './images/tasks.ts';
import { addLocationPlan, removeLocationPlan } from './locations/tasks.ts';
import { taskImportPlan } from './tasks/tasks.ts';

// The plans that imports.test.ts does not prove: each fails, repeats, is killed and cancelled in each of its steps.
let t: TestImages;
let web: Web;
beforeAll(async () => {
  web = await openWeb();
  t = await openTestImages({
    CUMULET_IMAGE_STORES: '[{id: one, driver: file, path: one, default: true}, {id: two, driver: file, path: two}, {id: web, driver: http}]', CUMULET_IMAGE_SHOW_MULTIPLE_LOCATIONS: 'true',
    CUMULET_IMAGE_FETCH_PORTS: `[${web.port}]`, CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]',
  });
});
afterAll(async () => { await t.end(); await web.close(); });
const url = (path: string) => `http://127.0.0.1:${web.port}${path}`;
const row = (id: string) => t.rt.db('images').where({ id }).first();
const taskOf = async (id: string) => (await t.rt.db('tasks').where({ resource_id: id, live: true }).first('id')).id as string;
const files = () => ['one', 'two', 'staging', 'image-cache'].flatMap(f => ['', '.tmp', '.parts'].flatMap(s => { const at = join(t.rt.settings.home, f, s); return existsSync(at) ? readdirSync(at).filter(n => !n.startsWith('.')).map(n => `${f}/${n}`) : []; })).toSorted();
const proof = (plan: Parameters<typeof provePlan>[0]['plan'], start: () => Promise<Try>) => provePlan({ plan, db: () => t.rt.db, tasks: () => t.rt.tasks, runner: f => t.runner(f), start });
const ok = (reply: { status: number; body: unknown }, status: number) => expect(reply.status, JSON.stringify(reply.body)).toBe(status);

proof(addLocationPlan, async () => {
  web.files.set('/far', randomBytes(5000));
  const before = files();
  const id = await t.image('demo');
  ok(await t.call('admin', 'POST', `/v2/images/${id}/locations`, { url: url('/far'), metadata: {} }), 202);
  return {
    taskId: await taskOf(id),
    done: async () => { expect(await row(id)).toMatchObject({ status: 'active', size: 5000, task_id: null, os_hash_algo: 'sha512' }); expect(files()).toEqual(before); },
    clean: async () => { expect(await row(id)).toMatchObject({ status: 'queued', size: null, task_id: null, locations: [] }); expect(files()).toEqual(before); },
  };
});

proof(removeLocationPlan, async () => {
  const id = await t.image('demo', {}, randomBytes(1000));
  ok(await t.call('admin', 'POST', `/v2/images/${id}/import`, { method: { name: 'copy-image' }, stores: ['two'] }), 202);
  await t.drain();
  ok(await t.call('admin', 'DELETE', `/v2/stores/one/${id}`), 204);
  const still = async () => { expect(await row(id)).toMatchObject({ status: 'active', locations: [{ metadata: { store: 'two' } }] }); expect(files()).toContain(`two/${id}`); };
  return {
    taskId: await taskOf(id),
    done: async () => { await still(); expect(files()).not.toContain(`one/${id}`); },
    // Bytes that resist every try are noted, and the periodic job goes on with them.
    clean: async () => { await still(); if (files().includes(`one/${id}`)) expect(await t.rt.db('image_leftovers').whereLike('url', `%one/${id}`)).toHaveLength(1); },
  };
});

proof(taskImportPlan, async () => {
  web.files.set('/task', randomBytes(3000));
  const before = files();
  const images = (await t.rt.db('images')).length;
  const made = await t.call('admin', 'POST', '/v2/tasks', { type: 'import', input: { import_from: url('/task'), import_from_format: 'raw', image_properties: { container_format: 'bare', disk_format: 'raw', name: 'x' } } });
  ok(made, 201);
  return {
    taskId: made.body.id,
    async done() {
      const { body } = await t.call('admin', 'GET', `/v2/tasks/${made.body.id}`);
      expect(body).toMatchObject({ status: 'success', result: { image_id: expect.any(String) } });
      expect(await row(body.result.image_id)).toMatchObject({ status: 'active', size: 3000 });
      expect(files()).toEqual([...before, `one/${body.result.image_id}`].toSorted());
    },
    async clean() {
      expect((await t.rt.db('images').whereNot({ status: 'pending_delete' })).length).toBeLessThanOrEqual(images + 1);
      expect(await t.rt.db('images').where({ name: 'x' }).whereIn('status', ['importing', 'saving'])).toEqual([]);
      expect(files().filter(f => f.startsWith('staging'))).toEqual([]);
    },
  };
});

proof(cachePlan, async () => {
  const id = await t.image('demo', {}, randomBytes(1000));
  ok(await t.call('admin', 'PUT', `/v2/cache/${id}`), 202);
  return {
    taskId: await taskOf(id),
    done: async () => { expect(files()).toContain(`image-cache/${id}`); },
    // A complete copy does no harm, an incomplete one would.
    clean: async () => { for (const left of files()) expect(left).not.toMatch(new RegExp(`image-cache/${id}~`)); },
  };
});

proof(uncachePlan, async () => {
  const id = await t.image('demo', {}, randomBytes(1000));
  ok(await t.call('admin', 'PUT', `/v2/cache/${id}`), 202);
  await t.drain();
  const copy = join(cacheFolder(t.rt.settings.home), id);
  expect(existsSync(copy)).toBe(true);
  ok(await t.call('admin', 'DELETE', `/v2/cache/${id}`), 204);
  const { id: taskId } = await t.rt.db('tasks').where({ plan: uncachePlan.kind, live: true }).orderBy('seq', 'desc').first('id');
  return { taskId, done: async () => { expect(existsSync(copy)).toBe(false); }, clean: async () => undefined };
});

proof(resumablePlan, async () => {
  const id = await t.image('demo');
  const taskId = await t.rt.db.transaction(async trx => {
    const task = await t.rt.tasks.enqueue(trx, resumablePlan, { imageId: id }, { queue: 'image', resource: { type: 'image', id } });
    await trx('images').where({ id }).update({ status: 'staging', task_id: task });
    return task;
  });
  const queued = async () => { expect(await row(id)).toMatchObject({ status: 'queued', task_id: null }); };
  return { taskId, done: queued, clean: queued };
});
