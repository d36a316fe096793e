import { move, transaction } from '@cumulet/db';
import { Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, isUuid, newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import { by } from '../asking.ts';
import { serverAttachments } from '../attachments/store.ts';
import { createKey } from '../encryption/keys.ts';
import { checkEncryption, encryptionChanges, encryptionWish } from '../encryption/rules.ts';
import { invalidInput, invalidVolume, typeNotFound, volumeNotFound } from '../faults.ts';
import { tell } from '../messages/store.ts';
import { enforce } from '../quotas/limits.ts';
import { filters, type Wish } from '../scheduler/filters.ts';
import { place } from '../scheduler/place.ts';
import { pools, type PoolState } from '../scheduler/pools.ts';
import { typeByRef } from '../types/choose.ts';
import { qosOfType } from '../types/qos.ts';
import { typeById, type TypeRow } from '../types/store.ts';
import { volumeAction } from '../volumes/actions.ts';
import { ExtendCompletion, Migrate, MigrateCompletion, Retype } from '../volumes/action_schemas.ts';
import { held } from '../volumes/service.ts';
import { Volume } from '../volumes/states.ts';
import { hostParts, insert, laneOfVolume, patch, queueOf, type VolumeRow } from '../volumes/store.ts';
import { migrateAttachedPlan, migratePlan } from './plans.ts';

const immovable = (id: string) => invalidVolume(`Volume ${id} status must be available or in-use, must not be migrating, have snapshots, be replicated, be part of a group and destination host/cluster must be different than the current one`);

/** The one server that has the volume. What several servers share, or something outside of compute has, stays where it is. */
async function soleServer(trx: Knex.Transaction, volume: VolumeRow): Promise<Awaited<ReturnType<typeof serverAttachments>>[number]> {
  const [one, ...more] = await serverAttachments(trx, volume.id);
  if (!one || more.length > 0 || one.status !== 'attached') throw immovable(volume.id);
  return one;
}

type Attached = Awaited<ReturnType<typeof soleServer>>;
const hostOf = (service: string): string => service.split('@')[0] ?? '';
/** Files of a host that is not a share's are that host's alone. */
const isLocal = (pool: Pick<PoolState, 'capabilities'>): boolean => pool.capabilities['storage_protocol'] === 'file';
/** What a guest has its own host copies, to where it gets; anything else passes through the one host that has both backends. */
const reaches = (volume: VolumeRow, attached: Attached | undefined) => (pool: PoolState): boolean => (attached ? !isLocal(pool) || hostOf(pool.service_host) === attached.attached_host : hostOf(pool.service_host) === hostOf(hostParts(volume.host ?? '').service));

/** The hidden row that holds the new place, and the task that both rows are held by. */
async function begin(rt: Runtime, trx: Knex.Transaction, ctx: Context, volume: VolumeRow, attached: Attached | undefined, o: { to: string; newType: TypeRow | null; keyId: string | null; forceCopy: boolean; lock: boolean; retyping: boolean }): Promise<void> {
  const targetId = newId();
  const moving = { volumeId: volume.id, targetId, to: o.to, inPlace: o.to === volume.host, newTypeId: o.newType?.id ?? null, was: volume.status };
  const options = { queue: queueOf(o.to), lane: laneOfVolume(volume.id), resource: { type: 'volume', id: volume.id }, by: by(ctx) };
  const task = attached ? await rt.tasks.enqueue(trx, migrateAttachedPlan, { ...moving, attachmentId: attached.id, serverId: attached.server_id, serverHost: attached.attached_host }, options) : await rt.tasks.enqueue(trx, migratePlan, { ...moving, forceCopy: o.forceCopy }, options);
  await insert(trx, {
    id: targetId, project_id: volume.project_id, user_id: volume.user_id, name: volume.name, description: null, size: volume.size, status: 'creating', task_id: task, host: o.to, availability_zone: volume.availability_zone,
    type_id: o.newType?.id ?? volume.type_id, multiattach: volume.multiattach, metadata: {}, consumes_quota: false, hidden: true, encryption_key_id: o.keyId, migration_status: `target:${volume.id}`,
  });
  if (o.retyping) await move(trx, Volume, volume.id, { from: [volume.status], to: 'retyping', task, set: { previous_status: volume.status } });
  else if (o.lock) await move(trx, Volume, volume.id, { from: [volume.status], to: 'maintenance', set: { previous_status: volume.status } });
  await trx('volumes').where({ id: volume.id }).update({ migration_status: 'starting', migration_task_id: task });
}

/** Moves a volume to the host that an administrator names. */
export const migrate = (rt: Runtime, ctx: Context, id: string, o: { host: string; forceCopy: boolean; lock: boolean }): Promise<void> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, id);
  const all = await pools(trx, rt.settings.volume.serviceDownSeconds) as unknown as PoolState[];
  if (!all.some(p => (p.id === o.host || p.service_host === o.host) && p.up)) throw new BadRequest(`Invalid host: No available service named '${o.host}'`);
  if (!['available', 'in-use'].includes(volume.status) || volume.migration_task_id !== null || volume.group_id !== null || volume.host === null || volume.host === o.host || hostParts(volume.host).service === o.host) throw immovable(volume.id);
  if (await trx('volume_snapshots').where({ volume_id: volume.id }).first('id')) throw immovable(volume.id);
  const type = await typeById(trx, volume.type_id);
  const attached = volume.status === 'in-use' ? await soleServer(trx, volume) : undefined;
  const reachable = reaches(volume, attached);
  const named = all.filter(p => p.id === o.host || p.service_host === o.host);
  if (!named.some(reachable)) {
    throw invalidVolume(attached ? `Volume ${volume.id} cannot be moved to ${o.host}: that is local storage of its host, which the host of the server, ${attached.attached_host}, does not reach.`
      : `Volume ${volume.id} cannot be moved to ${o.host}: it is of another host, and no host reaches both backends.`);
  }
  const wish: Wish = { sizeGiB: volume.size, extraSpecs: type?.extra_specs ?? {}, ...(type ? encryptionWish(type) : {}), reachable, ...(o.host.includes('#') ? { pool: o.host } : { service: o.host }) };
  const { host, refused } = await place(trx, rt.settings.volume, wish);
  if (host === undefined) throw invalidVolume(`Volume ${volume.id} cannot be moved to ${o.host}: ${refused}.`);
  await begin(rt, trx, ctx, volume, attached, { to: host, newType: null, keyId: volume.encryption_key_id, forceCopy: o.forceCopy, lock: o.lock, retyping: false });
});

/** The limits that a running guest has with a volume of that type, as far as they say so: they are not changed while it runs. */
async function limitsOfGuest(trx: Knex.Transaction, type: TypeRow | undefined): Promise<string | null> {
  const qos = type && await qosOfType(trx, type.id);
  return qos && qos.consumer !== 'back-end' ? type.qos_specs_id : null;
}

/** Another type. When the volume may stay where it is this is a change of its row; else it moves, if the caller allows that. */
export const retype = (rt: Runtime, ctx: Context, id: string, ref: string, policy: 'never' | 'on-demand'): Promise<void> => transaction(rt.db, async trx => {
  const volume = await held(trx, ctx, id);
  if (!['available', 'in-use'].includes(volume.status) || volume.migration_task_id !== null || volume.group_id !== null) throw invalidVolume(`Unable to update volume type due to incorrect status: ${volume.status} on volume: ${volume.id}. Volume status must be available or in-use.`);
  const [type, old] = [await typeByRef(trx, ref, ctx.allows('context_is_admin') ? undefined : ctx.caller.projectId ?? ''), await typeById(trx, volume.type_id)];
  if (!type) throw typeNotFound(ref);
  if (type.id === volume.type_id) throw invalidInput(`New volume_type same as original: ${type.id}.`);
  checkEncryption(type);
  const encryption = encryptionChanges(old, type);
  const multiattach = /<is>\s*true/i.test(type.extra_specs['multiattach'] ?? '');
  if (multiattach !== volume.multiattach && volume.status !== 'available') throw invalidInput('Invalid volume_type: changing multiattach needs the volume to be available.');
  if (volume.status === 'in-use' && await limitsOfGuest(trx, type) !== await limitsOfGuest(trx, old)) throw invalidVolume('Retype needs volume to be in available or in-use state, not be part of an active migration or a consistency group, requested type has to be different that the one from the volume, and for in-use volumes front-end qos specs cannot change.');
  const wish: Wish = { sizeGiB: volume.size, extraSpecs: type.extra_specs, ...encryptionWish(type) };
  const here = (await pools(trx, rt.settings.volume.serviceDownSeconds).where('p.id', volume.host ?? '') as unknown as PoolState[])[0];
  const fits = !encryption && here !== undefined && ['AvailabilityZoneFilter', 'CapabilitiesFilter'].every(name => !rt.settings.volume.scheduler.filters.includes(name as 'CapacityFilter') || filters[name]?.(here, wish) === true);
  if (fits) {
    await patch(trx, volume.id, { type_id: type.id, multiattach });
    await enforce(trx, 'volume', { projectId: volume.project_id, sizeGiB: volume.size, type });
    return;
  }
  const hasSnapshots = await trx('volume_snapshots').where({ volume_id: volume.id }).first('id') !== undefined;
  const stays = policy === 'never' ? 'Retype requires migration but is not allowed.' : hasSnapshots ? 'Volume must not have snapshots.' : undefined;
  const attached = volume.status === 'in-use' ? await soleServer(trx, volume) : undefined;
  // Other encryption is another copy, which may well be where the old one is.
  const not = volume.host === null || encryption ? [] : [volume.host];
  const { host, refused } = stays === undefined ? await place(trx, rt.settings.volume, { ...wish, not, reachable: reaches(volume, attached) }) : { host: undefined, refused: stays };
  if (host === undefined) {
    // Upstream accepts the request and the scheduler refuses it afterwards: the volume stays as it is, and a message says why.
    await tell(trx, { projectId: volume.project_id, requestId: ctx.requestId, resource: { type: 'VOLUME', id: volume.id }, action: 'retype', detail: 'noBackend', why: `(${refused})` });
    return;
  }
  const keyId = !encryption ? volume.encryption_key_id : type.encryption ? await createKey(trx, rt.sealer, volume.project_id) : null;
  await begin(rt, trx, ctx, volume, attached, { to: host, newType: type, keyId, forceCopy: false, lock: false, retyping: true });
});

export const migrationActions = (rt: Runtime): Operation[] => [
  volumeAction({
    action: 'os-migrate_volume', summary: 'Move to another host', policy: 'volume_extension:volume_admin_actions:migrate_volume', body: Migrate,
    handler: async (ctx, id) => {
      const o = ctx.body['os-migrate_volume'];
      if (o.cluster) throw new BadRequest(`Invalid host: No available service named '${o.cluster}'`);
      if (!o.host) throw new BadRequest("Invalid input for field/attribute os-migrate_volume. 'host' is a required property");
      await migrate(rt, ctx as never, id, { host: o.host, forceCopy: o.force_host_copy ?? false, lock: o.lock_volume ?? false });
      return new Reply(202);
    },
  }),
  volumeAction({
    action: 'os-migrate_volume_completion', summary: 'End a migration that compute makes', policy: 'volume_extension:volume_admin_actions:migrate_volume_completion', body: MigrateCompletion, status: 200,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const volume = await held(trx, ctx as never, id);
      const o = ctx.body['os-migrate_volume_completion'];
      const target: VolumeRow | undefined = isUuid(o.new_volume) ? await trx('volumes').where({ id: o.new_volume }).first() : undefined;
      if (!target) throw volumeNotFound(o.new_volume);
      const at = (row: VolumeRow) => (row.migration_task_id === null && !row.hidden ? null : row.migration_status);
      // Neither migrates: upstream's answer to a swap that somebody else has made.
      if (at(volume) === null && at(target) === null) return { save_volume_id: target.id };
      if (at(volume) === null) throw invalidVolume('Source volume not mid-migration.');
      if (at(target) === null) throw invalidVolume('Destination volume not mid-migration.');
      if (at(target) !== `target:${volume.id}`) throw invalidVolume(`Destination has migration_status ${target.migration_status}, expected target:${volume.id}.`);
      // A migration's own task ends it, at the right moment: the call can only give it up. The volume keeps its id in either case.
      if (o.error && volume.migration_task_id !== null) await rt.tasks.cancel(trx, volume.migration_task_id);
      return { save_volume_id: volume.id };
    }),
  }),
  volumeAction({
    action: 'os-extend_volume_completion', summary: 'End an extension that compute makes', since: '3.71', policy: 'volume_extension:volume_admin_actions:extend_volume_completion', body: ExtendCompletion,
    handler: (ctx, id) => transaction(rt.db, async trx => {
      const volume = await held(trx, ctx as never, id);
      if (volume.status !== 'extending' || volume.task_id === null) throw invalidVolume('Volume is not being extended.');
      // An extension's own task ends it when the guest has been told: the call can only give it up.
      if (ctx.body['os-extend_volume_completion'].error) await rt.tasks.cancel(trx, volume.task_id);
      return new Reply(202);
    }),
  }),
  volumeAction({
    action: 'os-retype', summary: 'Change the type', policy: 'volume:retype', body: Retype,
    handler: async (ctx, id) => { await retype(rt, ctx as never, id, ctx.body['os-retype'].new_type, ctx.body['os-retype'].migration_policy ?? 'never'); return new Reply(202); },
  }),
];
