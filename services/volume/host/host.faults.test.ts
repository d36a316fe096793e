import { transaction } from '@cumulet/db';
import { DriverError } from '@cumulet/drivers';
import type { ConnectionInfo } from '@cumulet/drivers/block';
import { newId } from '@cumulet/wire';
import { describe, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { connectPlan } from '../attachments/plans.ts';
import { volumesOf } from '../index.ts';
import { migrateAttachedPlan } from '../migration/plans.ts';
import { proving } from '../proving.ts';
import { sentence } from '../testing.ts';
import { extendPlan } from '../volumes/extend_plans.ts';
import { extendGuestPlan, swapGuestPlan } from './guest_plans.ts';

const p = proving();
const noCall = { taskId: 't', signal: new AbortController().signal, progress() {}, log: { debug() {}, info() {}, warn() {}, error() {} } };
const who = { projectId: callers.demo.projectId as string, userId: callers.demo.userId };

/** A running server with a volume, as compute leaves it. */
async function attached(body: object = {}) {
  const { cloud: c, guests } = p;
  const { db, tasks } = c.t.rt;
  const id = await c.volume(body);
  const serverId = newId();
  await guests.servers.create(noCall, { id: serverId, name: 'instance-00000001', displayName: 'web', vcpus: 1, memoryMiB: 64, root: { kind: 'image', imagePath: '/nowhere', imageFormat: 'raw', sizeGiB: 1 } });
  const { id: attachmentId } = await transaction(db, trx => volumesOf(c.t.rt).reserve(trx, { volumeId: id, serverId, who }));
  await transaction(db, trx => tasks.enqueue(trx, connectPlan, { attachmentId, connector: { host: 'testhost' } }, { resource: { type: 'attachment', id: attachmentId } }));
  await c.t.drain();
  const connection = async () => (await db('volume_attachments').where({ id: attachmentId }).first('connection_info')).connection_info as ConnectionInfo;
  await guests.volumes?.attach(noCall, serverId, { volumeId: id, connection: await connection() as never });
  await transaction(db, trx => volumesOf(c.t.rt).complete(trx, attachmentId, { device: '/dev/vdb' }));
  const host = async () => String((await c.show(id))['os-vol-host-attr:host']);
  const from = await host();
  return { id, serverId, attachmentId, connection, host, from, to: from.includes('one') ? 'testhost@two#two' : 'testhost@one#one', guestHas: () => guests.volumesOf(serverId)[0]?.connection };
}
const rows = () => p.cloud.t.rt.db('volumes').count('* as n').first();
/** The guest writes where the row says that the volume is, and there only. */
async function together(a: Awaited<ReturnType<typeof attached>>, volumes = 1): Promise<void> {
  expect(a.guestHas()).toEqual(await a.connection());
  expect(p.held()).toHaveLength(volumes);
  expect(p.connections()).toEqual([`${String((a.guestHas()?.data as { name?: string } | undefined)?.name)} testhost`]);
  expect(await rows()).toEqual({ n: volumes });
}

describe('a volume that a server has', () => {
  p.proof(extendPlan, async () => {
    const a = await attached();
    await p.act(a.id, { 'os-extend': { new_size: 3 } }, '3.42');
    return {
      taskId: await p.taskOf('volume', a.id),
      done: async () => { expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', size: 3 }); expect(p.guests.faults.calls['volumes.extend']).toBeGreaterThan(0); },
      clean: async () => expect(await p.cloud.show(a.id)).toMatchObject({ status: 'error_extending', size: 1 }),
    };
  });
  p.proof(migrateAttachedPlan, async () => {
    const a = await attached();
    expect((await p.act(a.id, { 'os-migrate_volume': { host: a.to } })).status).toBe(202);
    return {
      taskId: await p.taskOf('volume', a.id),
      done: async () => { expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', 'os-vol-host-attr:host': a.to, migration_status: 'success' }); await together(a); },
      // The guest and the rows have moved together, or neither has.
      clean: async () => { const moved = await a.host() === a.to; expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', migration_status: moved ? 'success' : 'error' }); await together(a); },
    };
  });
});

describe('the host\'s part', () => {
  p.proof(extendGuestPlan, async () => {
    const a = await attached();
    const taskId = await transaction(p.cloud.t.rt.db, trx => p.cloud.t.rt.tasks.enqueue(trx, extendGuestPlan, { serverId: a.serverId, volumeId: a.id, sizeBytes: 2 ** 31 }, { resource: { type: 'server', id: a.serverId } }));
    return { taskId, done: async () => expect(p.guests.volumesOf(a.serverId)).toHaveLength(1), clean: async () => expect(p.guests.volumesOf(a.serverId)).toHaveLength(1) };
  });
  p.proof(swapGuestPlan, async () => {
    const { db, tasks } = p.cloud.t.rt;
    const a = await attached();
    const into = { driver_volume_type: 'fake' as const, data: { access_mode: 'rw' as const, encrypted: false, name: 'elsewhere' } };
    const targetId = newId();
    await db.raw('insert into volumes (id, project_id, user_id, size, status, host, availability_zone, type_id, hidden, consumes_quota) select ?, project_id, user_id, size, ?, ?, availability_zone, type_id, true, false from volumes where id = ?', [targetId, 'available', a.to, a.id]);
    const taskId = await transaction(db, async trx => tasks.enqueue(trx, swapGuestPlan, { serverId: a.serverId, attachmentId: a.attachmentId, places: { volumeId: a.id, targetId, to: a.to, inPlace: false, newTypeId: null }, from: await a.connection(), into, provided: {} }, { resource: { type: 'server', id: a.serverId } }));
    return {
      taskId,
      done: async () => { expect(a.guestHas()).toEqual(into); expect(await a.connection()).toEqual(into); expect(await a.host()).toBe(a.to); },
      // Before the switch nothing has happened; after it the rows follow the guest.
      clean: async () => { const moved = await a.host() === a.to; expect(a.guestHas()).toEqual(moved ? into : await a.connection()); expect(await a.connection()).toEqual(a.guestHas()); },
    };
  });
});

test('a guest that cannot be told has the larger volume all the same, and its owner is told', async () => {
  const a = await attached();
  p.guests.faults.failAt('volumes.extend');
  await p.act(a.id, { 'os-extend': { new_size: 2 } }, '3.42');
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', size: 2 });
  expect((await p.cloud.demo('GET', '/v3/messages', undefined, '3.5')).body.messages[0]).toMatchObject({ event_id: 'VOLUME_VOLUME_007_009' });
});
test('storage that only QEMU may touch while a guest runs is grown by the guest\'s side, or not at all', async () => {
  const a = await attached();
  for (const d of p.cloud.drivers.values()) d.faults.failAt('volumes.extend', 1, new DriverError('busy', 'locked'));
  await p.act(a.id, { 'os-extend': { new_size: 2 } }, '3.42');
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', size: 2 });
  for (const d of p.cloud.drivers.values()) { d.faults.clear(); d.faults.failAt('volumes.extend', 1, new DriverError('busy', 'locked')); }
  p.guests.faults.clear();
  p.guests.faults.failAt('volumes.extend');
  await p.act(a.id, { 'os-extend': { new_size: 3 } }, '3.42');
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'error_extending', size: 2 });
});
test('retype moves an attached volume when it may; a migration in hand holds it against detaching', async () => {
  const a = await attached();
  await p.cloud.admin('POST', '/v3/types', { volume_type: { name: 'there', extra_specs: { volume_backend_name: a.to.includes('one') ? 'one' : 'two' } } });
  expect((await p.act(a.id, { 'os-retype': { new_type: 'there', migration_policy: 'on-demand' } })).status).toBe(202);
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'retyping', migration_status: 'starting' });
  await expect(transaction(p.cloud.t.rt.db, trx => volumesOf(p.cloud.t.rt).beginDetach(trx, a.attachmentId))).rejects.toThrow('active migration');
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', volume_type: 'there', 'os-vol-host-attr:host': a.to });
  await together(a);
});
test('a hypervisor that cannot swap leaves the volume where it is', async () => {
  const a = await attached();
  p.guests.faults.failAt('volumes.swap.run', 1, 'unsupported');
  await p.act(a.id, { 'os-migrate_volume': { host: a.to } });
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', 'os-vol-host-attr:host': a.from, migration_status: 'error' });
  await together(a);
});
test('what compute says of ends that are not its own here: a migration or growth can be given up, and is never ended too early', async () => {
  const a = await attached();
  const target = newId();
  const complete = (id: string, o: object) => p.act(id, { 'os-migrate_volume_completion': o });
  expect((await complete(a.id, { new_volume: target })).status).toBe(404);
  const other = await p.cloud.volume();
  expect((await complete(a.id, { new_volume: other })).body).toEqual({ save_volume_id: other });
  await p.act(a.id, { 'os-migrate_volume': { host: a.to } });
  expect(sentence(await complete(a.id, { new_volume: other }))).toContain('Destination volume not mid-migration.');
  expect(sentence(await complete(other, { new_volume: a.id }))).toContain('Source volume not mid-migration.');
  const { id: hidden } = await p.cloud.t.rt.db('volumes').where({ hidden: true }).first('id') as { id: string };
  expect((await complete(a.id, { new_volume: hidden })).body).toEqual({ save_volume_id: a.id });
  expect((await complete(a.id, { new_volume: hidden, error: true })).body).toEqual({ save_volume_id: a.id });
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', 'os-vol-host-attr:host': a.from, migration_status: 'error' });
  await together(a, 2);

  expect(sentence(await p.act(a.id, { 'os-extend_volume_completion': {} }, '3.71'))).toContain('Volume is not being extended.');
  await p.act(a.id, { 'os-extend': { new_size: 2 } }, '3.42');
  expect((await p.act(a.id, { 'os-extend_volume_completion': { error: false } }, '3.71')).status).toBe(202);
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'in-use', size: 2 });
  await p.act(a.id, { 'os-extend': { new_size: 3 } }, '3.42');
  await p.act(a.id, { 'os-extend_volume_completion': { error: true } }, '3.71');
  await p.cloud.t.drain();
  expect(await p.cloud.show(a.id)).toMatchObject({ status: 'error_extending', size: 2 });
});
test('storage that the server\'s host does not reach is refused beforehand, and is no place for a retype', async () => {
  const a = await attached();
  const { db } = p.cloud.t.rt;
  await p.cloud.report();
  const free = await p.cloud.volume();
  const there = a.to.replace('testhost', 'farhost');
  await db.raw(`insert into volume_services (binary_name, host) select binary_name, replace(host, 'testhost', 'farhost') from volume_services where binary_name = 'cinder-volume' on conflict do nothing`);
  await db.raw(`insert into volume_pools (id, service_host, backend, pool, total_gb, free_gb, provisioned_gb, thin, reserved_percentage, max_over_subscription_ratio, capabilities)
    select ?, ?, backend, pool, total_gb, free_gb, provisioned_gb, thin, reserved_percentage, max_over_subscription_ratio, capabilities || '{"storage_protocol": "file", "volume_backend_name": "far"}' from volume_pools where id = ?`, [there, there.split('#')[0] ?? '', a.to]);
  const asked = await p.act(a.id, { 'os-migrate_volume': { host: there } });
  expect([asked.status, sentence(asked)]).toEqual([400, expect.stringContaining('local storage of its host')]);
  expect(sentence(await p.act(free, { 'os-migrate_volume': { host: there } }))).toContain('no host reaches both backends');
  await p.cloud.admin('POST', '/v3/types', { volume_type: { name: 'far', extra_specs: { volume_backend_name: 'far' } } });
  for (const id of [a.id, free]) expect((await p.act(id, { 'os-retype': { new_type: 'far', migration_policy: 'on-demand' } })).status).toBe(202);
  await p.cloud.t.drain();
  for (const id of [a.id, free]) expect(await p.cloud.show(id)).toMatchObject({ volume_type: '__DEFAULT__', migration_status: null });
  await db('volume_pools').where({ id: there }).delete();
  await db('volume_services').where('host', 'like', 'farhost%').delete();
});
test('what is attached by somebody else than compute does not move', async () => {
  const id = await p.cloud.volume();
  await p.cloud.demo('POST', `/v3/volumes/${id}/action`, { 'os-attach': { host_name: 'bare', mountpoint: '/dev/sdx' } });
  expect(sentence(await p.act(id, { 'os-migrate_volume': { host: 'testhost@two#two' } }))).toContain('must be available or in-use, must not be migrating');
});
