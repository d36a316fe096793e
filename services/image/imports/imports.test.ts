import { gzipSync } from 'node:zlib';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { qcow2 } from '@cumulet/diskimage/testing';
import { createRunner } from '@cumulet/exec';
import { provePlan } from '@cumulet/tasks/testing';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { deletePlan, uploadPlan } from '../images/tasks.ts';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';
import { openWeb, type Web } from '../../../test/harness/web.ts';
import { importPlan } from './tasks.ts';

let t: TestImages;
let web: Web;
const stores = '[{id: one, driver: file, path: one, default: true}, {id: two, driver: file, path: two}]';
beforeAll(async () => {
  web = await openWeb();
  t = await openTestImages({ CUMULET_IMAGE_STORES: stores, CUMULET_IMAGE_FETCH_PORTS: `[${web.port}]`, CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]' });
});
afterAll(async () => { await t.end(); await web.close(); });
beforeEach(() => { web.breakAfter = undefined; web.asked.length = 0; });
const url = (path: string) => `http://127.0.0.1:${web.port}${path}`;
const start = (id: string, body: unknown, who: 'demo' | 'admin' = 'demo') => t.call(who, 'POST', `/v2/images/${id}/import`, body);
const stage = (id: string, data: Buffer) => t.call('demo', 'PUT', `/v2/images/${id}/stage`, data, { 'content-type': 'application/octet-stream' });
const show = async (id: string, who: 'demo' | 'admin' = 'demo') => (await t.call(who, 'GET', `/v2/images/${id}`)).body;
const data = async (id: string) => (await t.app.inject({ url: `/v2/images/${id}/file`, headers: { 'x-auth-token': 'demo' } })).rawPayload;
const files = () => ['one', 'two', 'staging'].flatMap(f => ['', '.tmp', '.parts'].flatMap(s => readdirSync(join(t.rt.settings.home, f, s)).filter(n => !n.startsWith('.')).map(n => `${f}/${n}`)));
const message = (text: string) => ({ body: { message: expect.stringContaining(text) } });

describe('glance-direct', () => {
  test('staged data becomes the image', async () => {
    const bytes = randomBytes(700_000);
    const id = await t.image('demo');
    await stage(id, bytes);
    expect(await start(id, { method: { name: 'glance-direct' } })).toMatchObject({ status: 202 });
    const during = await show(id);
    expect(during).toMatchObject({ status: 'importing', os_glance_importing_to_stores: 'one', os_glance_import_task: expect.any(String) });
    expect(await start(id, { method: { name: 'glance-direct' } })).toMatchObject({ status: 409, ...message(`New operation on image '${id}' is not permitted as prior operation is still in progress`) });
    await t.drain();
    expect(await show(id)).toMatchObject({ status: 'active', size: 700_000, os_hash_algo: 'sha512', stores: 'one', os_glance_importing_to_stores: '', os_glance_failed_import: '' });
    expect((await data(id)).equals(bytes)).toBe(true);
    expect(files().filter(f => f.startsWith('staging'))).toEqual([]);
    const tasks = (await t.call('demo', 'GET', `/v2/images/${id}/tasks`)).body.tasks;
    expect(tasks).toEqual([{
      id: during.os_glance_import_task, type: 'api_image_import', status: 'success', owner: expect.any(String), expires_at: expect.stringMatching(/T.*\.\d{6}$/), created_at: expect.any(String), updated_at: expect.any(String), deleted_at: null, deleted: false, image_id: id,
      request_id: expect.stringMatching(/^req-/), user_id: expect.any(String), input: { image_id: id, import_req: { method: { name: 'glance-direct' } }, backend: ['one'] }, result: { image_id: id }, message: 'Copied 0 MiB',
    }]);
  });
  test('dangerous or mislabelled data ends in queued, without a byte', async () => {
    const before = files();
    const id = await t.image('demo', { disk_format: 'raw' });
    await stage(id, qcow2());
    expect((await start(id, { method: { name: 'glance-direct' } })).status).toBe(202);
    await t.drain();
    expect(await show(id)).toMatchObject({ status: 'queued', size: null, os_glance_failed_import: 'one' });
    expect((await t.call('demo', 'GET', `/v2/images/${id}/tasks`)).body.tasks[0]).toMatchObject({ status: 'failure', result: null, message: expect.stringContaining('its content is qcow2') });
    expect(files()).toEqual(before);
  });
});
describe('what is refused', () => {
  test.each([
    [{}, 400, "Import request requires a 'method' field."], [{ method: {} }, 400, "Import request requires a 'name' field."], [{ method: { name: 'bogus' } }, 400, "Unknown import method name 'bogus'."],
    [{ method: { name: 'glance-direct' } }, 409, "Image needs to be staged before 'glance-direct' method can be used"], [{ method: { name: 'copy-image' } }, 409, 'Only images with status active can be targeted for copying'],
    [{ method: { name: 'web-download', uri: 'http://169.254.169.254/' } }, 400, 'URI for web-download does not pass filtering: http://169.254.169.254/'], [{ method: { name: 'web-download', uri: 'file:///etc/passwd' } }, 400, 'does not pass filtering'], [{ method: { name: 'web-download' } }, 400, 'does not pass filtering'],
    [{ method: { name: 'glance-direct' }, all_stores: 'yes' }, 400, "'all_stores' must be boolean value only"], [{ method: { name: 'web-download', uri: 'http://127.0.0.1/' }, all_stores: true, stores: ['one'] }, 400, "All_stores parameter can't be used"],
    [{ method: { name: 'glance-download', glance_image_id: 'x' } }, 400, "'glance_region' needs to be set"], [{ method: { name: 'glance-download', glance_image_id: 'x', glance_region: 'r' } }, 400, 'Remote image id does not look like a UUID: x'],
    [{ method: { name: 'web-download', uri: 'http://127.0.0.1/' }, stores: ['moon'] }, 409, "Unknown scheme 'moon'"],
  ])('%j', async (body, status, text) => { expect(await start(await t.image('demo'), body)).toMatchObject({ status, ...message(text) }); });
  test('active images, images without formats, others\' images', async () => {
    expect(await start(await t.image('demo', {}, Buffer.from('x')), { method: { name: 'web-download', uri: url('/x') } })).toMatchObject({ status: 409, ...message('Image with status active cannot be target for import') });
    const bare = (await t.call('demo', 'POST', '/v2/images', {})).body.id;
    expect(await start(bare, { method: { name: 'web-download', uri: url('/x') } })).toMatchObject({ status: 409, ...message("'container_format' needs to be set before import") });
    expect((await t.call('other', 'POST', `/v2/images/${bare}/import`, { method: { name: 'web-download', uri: url('/x') } })).status).toBe(404);
    expect((await t.call('other', 'GET', `/v2/images/${bare}/tasks`)).status).toBe(404);
  });
});
describe('web-download', () => {
  test('into all stores, through broken connections', async () => {
    const bytes = randomBytes(1_000_000);
    web.files.set('/image', bytes);
    web.breakAfter = 400_000;
    const id = await t.image('demo');
    expect((await start(id, { method: { name: 'web-download', uri: url('/image') }, all_stores: true })).status).toBe(202);
    await t.drain();
    expect(await show(id)).toMatchObject({ status: 'active', size: 1_000_000, stores: 'one,two' });
    expect((await data(id)).equals(bytes)).toBe(true);
    expect(web.asked.filter(a => a.range !== undefined).length).toBeGreaterThan(0);
  });
  test('what is not there fails', async () => {
    const id = await t.image('demo');
    await start(id, { method: { name: 'web-download', uri: url('/none') } });
    await t.drain();
    expect(await show(id)).toMatchObject({ status: 'queued' });
    expect((await t.call('demo', 'GET', `/v2/images/${id}/tasks`)).body.tasks[0]).toMatchObject({ status: 'failure', message: 'The URL answered 404.' });
  });
  test('a deletion during the import leaves nothing (CVE-2014-9684)', async () => {
    const before = files();
    web.files.set('/image', randomBytes(300_000));
    for (let i = 0; i < 3; i++) {
      const id = await t.image('demo');
      await start(id, { method: { name: 'web-download', uri: url('/image') } });
      expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
      await t.drain();
      expect(await t.rt.db('images').where({ id })).toEqual([]);
    }
    expect(files()).toEqual(before);
  });
});
describe('what was imported and deleted', () => {
  // Row 18 of the advisories: CVE-2014-9684, 2015-1881 and 2015-3289 filled a disk by repeating this.
  test('leaves nothing in stores and staging, however often and whatever became of the import', async () => {
    const before = files();
    const bytes = randomBytes(200_000);
    web.files.set('/again', bytes);
    const direct = async (id: string, content: Buffer) => { await stage(id, content); await start(id, { method: { name: 'glance-direct' } }); };
    const ways: ((id: string) => Promise<unknown>)[] = [
      id => direct(id, bytes),
      id => direct(id, qcow2()),
      id => start(id, { method: { name: 'web-download', uri: url('/again') }, all_stores: true }, 'admin'),
      id => start(id, { method: { name: 'web-download', uri: url('/none') } }),
      async (id) => { await direct(id, bytes); await t.drain(); return start(id, { method: { name: 'copy-image' }, stores: ['two'] }, 'admin'); },
      // Staged and never imported.
      id => stage(id, bytes),
    ];
    for (let n = 0; n < 3; n++) {
      const ids: string[] = [];
      for (const way of ways) { const id = await t.image('demo'); await way(id); ids.push(id); }
      await t.drain();
      expect(new Set(files().map(f => f.split('/')[0]))).toEqual(new Set(['one', 'two', 'staging']));
      for (const id of ids) expect((await t.call('demo', 'DELETE', `/v2/images/${id}`)).status).toBe(204);
      await t.drain();
      expect(files()).toEqual(before);
      expect(await t.rt.db('images').whereIn('id', ids)).toEqual([]);
    }
    expect(await t.rt.db('image_leftovers')).toEqual([]);
  });
});
describe('copies', () => {
  test('to another store, for admins, and back', async () => {
    const bytes = randomBytes(5000);
    const id = await t.image('demo', {}, bytes);
    expect((await start(id, { method: { name: 'copy-image' }, stores: ['two'] })).status).toBe(403);
    expect(await start(id, { method: { name: 'copy-image' }, stores: ['one'] }, 'admin')).toMatchObject({ status: 400, ...message("Image is already present at store 'one'") });
    expect((await start(id, { method: { name: 'copy-image' }, all_stores: true }, 'admin')).status).toBe(202);
    expect(await show(id, 'admin')).toMatchObject({ status: 'active', os_glance_importing_to_stores: 'two', os_glance_import_task: expect.any(String) });
    await t.drain();
    expect(await show(id, 'admin')).toMatchObject({ status: 'active', stores: 'one,two', os_glance_importing_to_stores: '' });
    expect((await start(id, { method: { name: 'copy-image' }, all_stores: true }, 'admin')).status).toBe(202);
    const drop = (store: string, who: 'demo' | 'admin' = 'admin') => t.call(who, 'DELETE', `/v2/stores/${store}/${id}`);
    expect((await drop('one', 'demo')).status).toBe(403);
    expect((await drop('moon')).status).toBe(409);
    expect((await drop('one')).status).toBe(204);
    await t.drain();
    expect((await show(id, 'admin')).stores).toBe('two');
    expect((await data(id)).equals(bytes)).toBe(true);
    expect(files()).not.toContain(`one/${id}`);
    expect(await drop('two')).toMatchObject({ status: 403, ...message('Cannot delete image data from the only store containing it. Consider deleting the image instead.') });
    expect(await drop('one')).toMatchObject({ status: 403 });
  });
});

const cleanImage = async (id: string, before: string[], status: string) => {
  expect(await show(id)).toMatchObject({ status });
  expect(files()).toEqual(before);
};
provePlan({
  plan: importPlan, db: () => t.rt.db, tasks: () => t.rt.tasks, runner: f => t.runner(f),
  async start() {
    const bytes = randomBytes(200_000);
    web.files.set('/proof', bytes);
    const before = files();
    const id = await t.image('demo');
    await start(id, { method: { name: 'web-download', uri: url('/proof') }, all_stores: true });
    const { id: taskId } = await t.rt.db('tasks').where({ resource_id: id }).first('id');
    return {
      taskId,
      async done() { expect(await show(id)).toMatchObject({ status: 'active', stores: 'one,two' }); expect((await data(id)).equals(bytes)).toBe(true); expect(files().toSorted()).toEqual([...before, `one/${id}`, `two/${id}`].toSorted()); },
      clean: () => cleanImage(id, before, 'queued'),
    };
  },
});
describe('copy', () => { provePlan({
  plan: importPlan, db: () => t.rt.db, tasks: () => t.rt.tasks, runner: f => t.runner(f),
  async start() {
    const id = await t.image('demo', {}, randomBytes(1000));
    const before = files();
    await start(id, { method: { name: 'copy-image' }, stores: ['two'] }, 'admin');
    const { id: taskId } = await t.rt.db('tasks').where({ resource_id: id, live: true }).first('id');
    return { taskId, done: async () => { expect(await show(id)).toMatchObject({ stores: 'one,two' }); }, clean: async () => { await cleanImage(id, before, 'active'); expect((await show(id)).stores).toBe('one'); } };
  },
}); });
provePlan({
  plan: deletePlan, db: () => t.rt.db, tasks: () => t.rt.tasks, runner: f => t.runner(f),
  async start() {
    const id = await t.image('demo', {}, randomBytes(1000));
    await t.call('demo', 'DELETE', `/v2/images/${id}`);
    const { id: taskId } = await t.rt.db('tasks').where({ resource_id: id, live: true }).first('id');
    const gone = async () => { expect(await t.rt.db('images').where({ id })).toEqual([]); };
    // Even when its bytes resist, the image does not come back; they are noted for later.
    return { taskId, done: async () => { await gone(); expect(files()).not.toContain(`one/${id}`); }, clean: async () => { await gone(); if (files().includes(`one/${id}`)) expect(await t.rt.db('image_leftovers').whereLike('url', `%${id}`)).toHaveLength(1); } };
  },
});
provePlan({
  plan: uploadPlan, db: () => t.rt.db, tasks: () => t.rt.tasks, runner: f => t.runner(f),
  async start() {
    const id = await t.image('demo');
    const taskId = await t.rt.db.transaction(async trx => {
      const task = await t.rt.tasks.enqueue(trx, uploadPlan, { imageId: id, store: 'one' }, { queue: 'image', resource: { type: 'image', id } });
      await trx('images').where({ id }).update({ status: 'saving', task_id: task });
      return task;
    });
    const queued = async () => { expect(await show(id)).toMatchObject({ status: 'queued' }); };
    return { taskId, done: queued, clean: queued };
  },
});

describe('plugins', () => {
  let p: TestImages;
  beforeAll(async () => { p = await openTestImages({ CUMULET_IMAGE_IMPORT_CONVERT_TO: 'qcow2', CUMULET_IMAGE_IMPORT_DECOMPRESS: 'true', CUMULET_IMAGE_IMPORT_INJECT_PROPERTIES: '{from: here}' }); });
  afterAll(() => p.end());
  test('a gzip is unpacked, the disk converted, properties injected', async () => {
    const id = await p.image('demo', { container_format: 'compressed' });
    await p.call('demo', 'PUT', `/v2/images/${id}/stage`, gzipSync(Buffer.alloc(1_048_576, 'x')), { 'content-type': 'application/octet-stream' });
    expect((await p.call('demo', 'POST', `/v2/images/${id}/import`, { method: { name: 'glance-direct' } })).status).toBe(202);
    await p.drain();
    expect((await p.call('demo', 'GET', `/v2/images/${id}`)).body).toMatchObject({ status: 'active', disk_format: 'qcow2', container_format: 'bare', virtual_size: 1_048_576, from: 'here' });
    expect(readdirSync(join(p.rt.settings.home, 'staging')).filter(n => !n.startsWith('.'))).toEqual([]);
  });
  // Row 9: CVE-2013-2096 and 4463.
  test('what would become larger than the project may have is never converted', async () => {
    await p.rt.db('quotas').insert({ service: 'image', project_id: (await p.call('demo', 'GET', `/v2/images/${await p.image('demo')}`)).body.owner, resource: 'image_size_total', hard_limit: 64 });
    const folder = mkdtempSync(join(p.rt.settings.home, 'bomb-'));
    for (const [format, size, status] of [['vdi', '1T', 'queued'], ['vhdx', '65M', 'queued'], ['vdi', '8M', 'active']] as const) {
      await createRunner({ log: p.rt.log }).run('qemu-img', ['create', '-q', '-f', format, join(folder, 'disk'), size]);
      const id = await p.image('demo', { disk_format: format });
      await p.call('demo', 'PUT', `/v2/images/${id}/stage`, readFileSync(join(folder, 'disk')), { 'content-type': 'application/octet-stream' });
      expect((await p.call('demo', 'POST', `/v2/images/${id}/import`, { method: { name: 'glance-direct' } })).status).toBe(202);
      await p.drain();
      expect((await p.call('demo', 'GET', `/v2/images/${id}`)).body, `${format} of ${size}`).toMatchObject({ status });
      if (status === 'queued') expect((await p.call('demo', 'GET', `/v2/images/${id}/tasks`)).body.tasks[0].message).toMatch(/virtual size/i);
      expect(readdirSync(join(p.rt.settings.home, 'staging')).filter(n => n.endsWith('.converted'))).toEqual([]);
    }
  });
});
