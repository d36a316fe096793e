import { transaction } from '@cumulet/db';
import { plainCall } from '@cumulet/drivers';
import { bytesOfVolume, type LuksKey } from '@cumulet/drivers/block';
import { Killed } from '@cumulet/tasks';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { images } from '@cumulet/image';
import { callers } from '../../../test/harness/service.ts';
import { volumeRef } from '../refs.ts';
import { sentence, testCloud, type TestCloud } from '../testing.ts';
import { byId, type VolumeRow } from '../volumes/store.ts';
import { luksKeyOf, sweepKeys } from './keys.ts';

let c: TestCloud;
const call = plainCall();
beforeAll(async () => {
  c = await testCloud();
  await c.admin('PUT', `/v3/os-quota-sets/${callers.demo.projectId}`, { quota_set: { volumes: -1, gigabytes: -1 } });
  const type = async (name: string, encryption?: object, specs = {}) => {
    const { id } = (await c.admin('POST', '/v3/types', { volume_type: { name, extra_specs: specs } })).body.volume_type;
    if (encryption) await c.admin('POST', `/v3/types/${id}/encryption`, { encryption });
  };
  await type('secret', { provider: 'luks', cipher: 'aes-xts-plain64', key_size: 256, control_location: 'front-end' });
  await type('other', { provider: 'nova.volume.encryptors.luks.LuksEncryptor', cipher: 'aes-cbc-essiv', key_size: 128, control_location: 'front-end' });
  await type('by-backend', { provider: 'luks', control_location: 'back-end' });
  await type('unknown', { provider: 'rot13', control_location: 'front-end' });
  await type('weak', { provider: 'luks', cipher: 'rot-13', control_location: 'front-end' });
  await type('shared', { provider: 'luks', control_location: 'front-end' }, { multiattach: '<is> True' });
  await type('plain');
});
beforeEach(() => c.report());
afterAll(() => c.close());

const row = async (id: string) => await byId(c.t.rt.db, id) as VolumeRow;
const keys = async (): Promise<string[]> => (await c.t.rt.db('volume_keys').select('id')).map((k: { id: string }) => k.id);
const keyOf = (of: VolumeRow): Promise<LuksKey> => luksKeyOf(c.t.rt.db, c.t.rt.sealer, of);
/** A volume's content, through its key when it has one. */
async function content(id: string) {
  const of = await row(id);
  const driver = c.drivers.get(String(of.host).includes('@one') ? 'one' : 'two');
  if (!driver?.encryption) throw new Error('no driver');
  const data = of.encryption_key_id === null ? driver.data : driver.encryption.data(await keyOf(of));
  const ref = volumeRef(of);
  return {
    put: async (text: string) => pipeline(Readable.from([Buffer.from(text)]), await data.write(call, ref, { offset: 4_096 })),
    get: async () => Buffer.concat(await (await data.read(call, ref, { offset: 4_096, length: 16 })).toArray()).toString().replaceAll('\0', ''),
    bytes: bytesOfVolume(ref),
  };
}

test('a volume of an encrypted type has a key of its own, which goes with it; users see its id and never the key', async () => {
  const id = await c.volume({ volume_type: 'secret' });
  const { encryption_key_id: key } = await row(id);
  expect(await c.show(id)).toMatchObject({ status: 'available', encrypted: true, encryption_key_id: key });
  expect(await keys()).toEqual([key]);
  const about = { encryption_key_id: key, control_location: 'front-end', cipher: 'aes-xts-plain64', key_size: 256, provider: 'luks' };
  expect((await c.demo('GET', `/v3/volumes/${id}/encryption`)).body).toEqual(about);
  expect((await c.demo('GET', `/v3/volumes/${id}/encryption/cipher`)).body).toBe('aes-xts-plain64');
  expect((await c.demo('GET', `/v3/volumes/${id}/encryption/nothing`)).status).toBe(404);
  expect((await c.other('GET', `/v3/volumes/${id}/encryption`)).status).toBe(404);
  const plain = await c.volume();
  expect((await c.demo('GET', `/v3/volumes/${plain}/encryption`)).body).toEqual({ encryption_key_id: null });
  const { passphrase } = await keyOf(await row(id));
  expect(passphrase).toMatch(/^[0-9a-f]{64}$/);
  expect(JSON.stringify(await c.t.rt.db('volume_keys').select('*'))).not.toContain(passphrase);
  await c.demo('DELETE', `/v3/volumes/${id}`);
  await c.t.drain();
  expect(await keys()).toEqual([]);
});

test('what nobody here can encrypt is refused', async () => {
  const create = async (type: string) => sentence(await c.demo('POST', '/v3/volumes', { volume: { size: 1, volume_type: type } }));
  expect(await create('unknown')).toContain('rot13');
  expect(await create('weak')).toContain('rot-13');
  expect(await create('shared')).toContain('Multiattach cannot be used with encrypted volumes.');
  expect(await c.show(await c.volume({ volume_type: 'by-backend' }))).toMatchObject({ status: 'error' });
  expect((await c.demo('GET', '/v3/messages', undefined, '3.5')).body.messages[0].user_message).toContain('EncryptionSupport refused 2 of 2');
});

test('who attaches it is told that it is encrypted; without its key nobody gets it', async () => {
  const id = await c.volume({ volume_type: 'secret' });
  const connect = (who: 'demo' | 'admin') => c[who]('POST', `/v3/volumes/${id}/action`, { 'os-initialize_connection': { connector: { host: 'testhost' } } });
  const served = async <T>(asked: Promise<T>) => { for (let done = false; !done;) { await c.t.drain(); done = await Promise.race([asked.then(() => true), new Promise<boolean>(r => setTimeout(() => r(false), 20))]); } return asked; };
  const info = (await served(connect('admin'))).body.connection_info.data;
  expect(info).toMatchObject({ encrypted: true, encryption_key_id: (await row(id)).encryption_key_id });
  const shown = await served(connect('demo'));
  expect(shown.body.connection_info.data).not.toHaveProperty('encryption_key_id');
  await c.t.rt.db('volume_keys').where({ id: info.encryption_key_id }).delete();
  expect(sentence(await served(connect('admin')))).toContain('could not be found');
});

test('copies open with a key of their own, which is the same; another encryption is another volume', async () => {
  const id = await c.volume({ volume_type: 'secret' });
  await (await content(id)).put('between us');
  const snapshot = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: id } })).body.snapshot.id;
  await c.t.drain();
  const copies = [await c.volume({ source_volid: id, size: 2 }), await c.volume({ snapshot_id: snapshot })];
  for (const copy of copies) {
    expect(await (await content(copy)).get()).toBe('between us');
    expect(await c.show(copy)).toMatchObject({ encrypted: true, volume_type: 'secret' });
    expect((await row(copy)).encryption_key_id).not.toBe((await row(id)).encryption_key_id);
  }
  for (const type of ['plain', 'other']) expect(sentence(await c.demo('POST', '/v3/volumes', { volume: { size: 1, source_volid: id, volume_type: type } }))).toContain('requested type is not compatible');
  await c.demo('POST', `/v3/volumes/${id}/action`, { 'os-extend': { new_size: 3 } });
  await c.t.drain();
  expect(await (await content(id)).get()).toBe('between us');
  expect((await content(id)).bytes).toBe(3 * 2 ** 30 + (2 << 20));
});

test('retype encrypts and decrypts: the content stays, the bytes are others, the old key goes', async () => {
  const id = await c.volume({ volume_type: 'plain' });
  await (await content(id)).put('in clear');
  const retype = async (type: string, migration_policy = 'on-demand') => { const r = await c.demo('POST', `/v3/volumes/${id}/action`, { 'os-retype': { new_type: type, migration_policy } }); await c.t.drain(); return r.status; };
  const before = await keys();
  expect(await retype('secret', 'never')).toBe(202);
  expect(await c.show(id)).toMatchObject({ status: 'available', volume_type: 'plain', encrypted: false });
  for (const type of ['secret', 'plain']) {
    expect(await retype(type)).toBe(202);
    expect(await c.show(id)).toMatchObject({ status: 'available', volume_type: type, encrypted: type !== 'plain', migration_status: 'success' });
    expect(await (await content(id)).get()).toBe('in clear');
    expect((await keys()).length - before.length).toBe(type === 'plain' ? 0 : 1);
  }
  // Each volume is there once: no copy of a former encryption is left.
  for (const held of [...c.drivers.values()].flatMap(d => [...d.held]).filter(n => !n.includes('~'))) expect(await c.t.rt.db('volumes').where({ backend_name: held }).orWhereRaw(`'volume-' || id = ?`, [held]).count('* as n').first()).toEqual({ n: 1 });
}, 180_000);

test('a worker that dies on the way, or a step that fails: it is what it was, or what it shall be, and there once', async () => {
  for (const [how, phase, step, becomes] of [['killed', 'after', 'copy', 'secret'], ['killed', 'after', 'switch', 'secret'], ['fails', 'before', 'switch', 'plain']] as const) {
    const id = await c.volume({ volume_type: 'plain' });
    await (await content(id)).put(step);
    const held = [...c.drivers.values()].flatMap(d => [...d.held]).length;
    expect((await c.demo('POST', `/v3/volumes/${id}/action`, { 'os-retype': { new_type: 'secret', migration_policy: 'on-demand' } })).status).toBe(202);
    const { task_id: task } = await row(id);
    await c.t.runner({ [phase](_: string, at: string) { if (at === step) throw how === 'killed' ? new Killed() : new Error('no'); } }).run(task ?? '');
    await c.t.rt.db('tasks').where({ id: task, live: true }).update({ lease_until: null, owner: null });
    await c.t.drain();
    expect([how, step, await c.show(id)]).toMatchObject([how, step, { status: 'available', volume_type: becomes, encrypted: becomes === 'secret' }]);
    expect(await (await content(id)).get()).toBe(step);
    expect([...c.drivers.values()].flatMap(d => [...d.held])).toHaveLength(held);
    await c.demo('DELETE', `/v3/volumes/${id}`);
    await c.t.drain();
  }
}, 180_000);

test('images: plain ones become encrypted content; an encrypted volume\'s image is its container, for those who have the key', async () => {
  const upload = async (body: Buffer, properties: Record<string, string> = {}) => {
    const { id } = await transaction(c.t.rt.db, trx => images.createRecord(trx, c.t.rt, { name: 'i', owner: callers.demo.projectId as string, diskFormat: 'raw', containerFormat: 'bare', visibility: 'public' }));
    const stored = await c.deps.images.put(call, id, Readable.from([body]), { size: body.length });
    await c.t.rt.db('images').where({ id }).update({ status: 'active', size: stored.size, checksum: stored.checksum, os_hash_algo: 'sha512', os_hash_value: stored.hash, locations: JSON.stringify([{ url: stored.url, metadata: { store: stored.store } }]), properties: JSON.stringify(properties) });
    return id;
  };
  const body = Buffer.alloc(65_536);
  body.write('of an image', 4_096);
  const id = await c.volume({ volume_type: 'secret', imageRef: await upload(body) });
  expect(await c.show(id)).toMatchObject({ status: 'available', bootable: 'true', encrypted: true });
  expect(await (await content(id)).get()).toBe('of an image');

  const action = (o: object) => c.demo('POST', `/v3/volumes/${id}/action`, { 'os-volume_upload_image': { image_name: 'mine', ...o } });
  expect(sentence(await action({ disk_format: 'qcow2' }))).toContain("must use 'raw' disk_format");
  const made = await action({});
  expect(made.status).toBe(202);
  const { properties } = await c.t.rt.db('images').where({ id: made.body['os-volume_upload_image'].image_id }).first('properties');
  expect(properties).toMatchObject({ cinder_encryption_key_deletion_policy: 'on_image_deletion' });
  expect(await keys()).toContain(properties.cinder_encryption_key_id);
  // A GiB through hashing is nobody's pleasure here; test/backends does it with real containers.
  const { task_id: task } = await row(id);
  await transaction(c.t.rt.db, trx => c.t.rt.tasks.cancel(trx, task ?? ''));
  await c.t.drain();
  expect(await c.show(id)).toMatchObject({ status: 'available' });

  const foreign = await upload(body, { cinder_encryption_key_id: properties.cinder_encryption_key_id });
  expect(sentence(await c.other('POST', '/v3/volumes', { volume: { size: 1, imageRef: foreign, volume_type: 'secret' } }))).toContain('could not be found');
  expect(sentence(await c.demo('POST', '/v3/volumes', { volume: { size: 1, imageRef: foreign, volume_type: 'plain' } }))).toContain('must be an encrypted one');
});

test('backups hold the container and its key\'s id: restored, it opens, whatever became of the volume', async () => {
  const id = await c.volume({ volume_type: 'secret' });
  await (await content(id)).put('kept');
  const key = (await row(id)).encryption_key_id;
  const backup = (await c.demo('POST', '/v3/backups', { backup: { volume_id: id } }, '3.64')).body.backup.id;
  await c.t.drain();
  expect((await c.demo('GET', `/v3/backups/${backup}`, undefined, '3.64')).body.backup).toMatchObject({ status: 'available', encryption_key_id: key });
  const plain = await c.volume();
  expect(sentence(await c.demo('POST', `/v3/backups/${backup}/restore`, { restore: { volume_id: plain } }))).toContain('must both be encrypted');
  const over = await c.volume({ volume_type: 'secret' });
  expect((await c.demo('POST', `/v3/backups/${backup}/restore`, { restore: { volume_id: over } })).status).toBe(202);
  await c.t.drain();
  expect(await c.show(over)).toMatchObject({ status: 'available' });
  expect(await (await content(over)).get()).toBe('kept');
  await c.demo('DELETE', `/v3/volumes/${id}`);
  await c.t.drain();
  const made = (await c.demo('POST', '/v3/volumes', { volume: { backup_id: backup, size: 1, volume_type: 'secret' } }, '3.47')).body.volume.id;
  await c.t.drain();
  expect(await c.show(made)).toMatchObject({ status: 'available' });
  expect(await (await content(made)).get()).toBe('kept');
  await c.demo('DELETE', `/v3/backups/${backup}`);
  await c.demo('DELETE', `/v3/volumes/${over}`);
  await c.t.drain();
  await c.t.rt.db('volume_keys').update({ created_at: c.t.rt.db.raw(`now() - interval '2 hours'`) });
  await transaction(c.t.rt.db, trx => sweepKeys(trx as never));
  expect(await keys()).not.toContain(key);
});
