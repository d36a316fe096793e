import { limitsOf, overLimit, transaction, usageOf } from '@cumulet/db';
import { Reply, type Context } from '@cumulet/http';
import { BadRequest, Fault, Forbidden, newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Compute } from '../compute.ts';
import { findFlavor, snapshotOf, type FlavorRow } from '../flavors/store.ts';
import type { Who } from '../neighbours.ts';
import { createPlan } from '../plans/create.ts';
import { defaults } from '../quotas/limits.ts';
import { needsOf, candidates, claim, NoValidHost } from '../scheduler/claim.ts';
import { wishOf } from '../scheduler/wish.ts';
import { byOf, whoOf } from '../who.ts';
import { record } from './act.ts';
import { disksOf, type Disks } from './disks.ts';
import { hostnameOf, newPassword, newReservation } from './names.ts';
import { groupsOf, nicsOf, type AskedNic } from './nics.ts';
import { hostQueue, laneOf, type ServerRow } from './row.ts';
import type { CreateBody } from './schemas.ts';
import { faultOf } from './store.ts';
import { sealPassword } from './secrets.ts';
import { serverLinks } from './view.ts';

type Body = CreateBody['server'] & { personality?: { path: string; contents: string }[] };
type Hints = Record<string, unknown>;

/** `POST /servers`: everything that can be refused is refused here; then rows, shares of hosts and tasks in one transaction. */
export async function createServers(c: Compute, ctx: Context<CreateBody>): Promise<Reply> {
  const s = ctx.body.server as Body;
  const hints: Hints = ctx.body['os:scheduler_hints'] ?? ctx.body['OS-SCH-HNT:scheduler_hints'] ?? {};
  const who = whoOf(ctx);
  const min = s.min_count ?? 1;
  const max = s.max_count ?? min;
  if (min > max) throw new BadRequest('min_count must be <= max_count');
  if (max > 1 && s.hostname !== undefined) throw new BadRequest('Unable to allocate a single hostname to multiple instances');
  const place = placement(ctx, s);
  const password = s.adminPass ?? newPassword();
  const reservation = newReservation();
  const ids = await transaction(c.rt.db, async trx => {
    const flavor = await findFlavor(trx, who, String(s.flavorRef)).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new BadRequest(error.message) : error; });
    if (flavor.disabled) throw new BadRequest(`Flavor ${flavor.id} could not be found.`);
    const disks = await disksOf(c, trx, who, s, flavor, { multiattach: ctx.dialect.has('multiattach'), count: max });
    if (disks.devices.some(d => d.destination_type === 'volume')) ctx.require('os_compute_api:servers:create:attach_volume');
    if (flavor.root_gb === 0 && !disks.volumeBacked && !ctx.allows('os_compute_api:servers:create:zero_disk_flavor')) throw new Forbidden('Only volume-backed servers are allowed for flavors with zero disk.');
    const asked = s.networks as Parameters<typeof nicsOf>[4];
    if (Array.isArray(asked) && asked.length > 0) ctx.require('os_compute_api:servers:create:attach_network');
    if (s.trusted_image_certificates !== undefined) ctx.require('os_compute_api:servers:create:trusted_certs');
    const nics = await nicsOf(c, ctx, trx, who, asked, max);
    const groups = await groupsOf(c, trx, who, s.security_groups);
    const key = await keyOf(trx, who.userId, s.key_name ?? null);
    checkText(s, await limitsOf(trx, 'compute', who.projectId, defaults));
    await checkZone(trx, place.zone);
    const group = await groupOf(trx, who, hints['group'] as string | undefined);
    const count = await countFor(trx, who.projectId, flavor, min, max);
    return insertAll(c, ctx, trx, { s, hints, who, flavor, disks, nics, groups, key, place, group, count, reservation, password });
  });
  if (s.return_reservation_id) return new Reply(202, { reservation_id: reservation });
  const id = ids[0] as string;
  return new Reply(202, {
    server: { id, links: serverLinks(ctx, id), 'OS-DCF:diskConfig': s['OS-DCF:diskConfig'] ?? 'MANUAL', security_groups: s.security_groups?.length ? s.security_groups.map(g => ({ name: g.name ?? 'default' })) : [{ name: 'default' }], adminPass: password },
  }, { location: `${ctx.baseUrl}/v2.1/servers/${id}` });
}

interface Place { zone?: string; host?: string; node?: string; forced?: boolean }
/** `zone:host:node` goes round the scheduler and is for administrators; `host` of 2.74 asks it. */
function placement(ctx: Context, s: Body): Place {
  if (s.host !== undefined || s.hypervisor_hostname !== undefined) {
    ctx.require('compute:servers:create:requested_destination');
    if (s.availability_zone?.includes(':')) throw new BadRequest('Forced host and node cannot be given together with host or hypervisor_hostname.');
    return { ...(s.availability_zone ? { zone: s.availability_zone } : {}), ...(s.host === undefined ? {} : { host: s.host }), ...(s.hypervisor_hostname === undefined ? {} : { node: s.hypervisor_hostname }) };
  }
  if (!s.availability_zone) return {};
  const parts = s.availability_zone.split(':');
  if (parts.length === 1) return { zone: s.availability_zone };
  const [zone, host, node] = parts;
  if (parts.length > 3) throw new BadRequest('Unable to parse availability_zone');
  ctx.require('os_compute_api:servers:create:forced_host');
  return { ...(zone ? { zone } : {}), ...(host ? { host } : {}), ...(node ? { node } : {}), forced: true };
}
async function checkZone(trx: Knex.Transaction, zone: string | undefined): Promise<void> {
  if (zone === undefined || zone === 'nova') return;
  const known = await trx('aggregates').whereRaw(`metadata ->> 'availability_zone' = ?`, [zone]).first('num');
  if (!known) throw new BadRequest('The requested availability zone is not available');
}
async function keyOf(trx: Knex.Transaction, userId: string, name: string | null) {
  if (name === null) return { key_name: null, key_data: null, key_type: null };
  const row = await trx('keypairs').where({ user_id: userId, name }).first('public_key', 'type') as { public_key: string; type: string } | undefined;
  if (!row) throw new BadRequest('Invalid key_name provided.');
  return { key_name: name, key_data: row.public_key, key_type: row.type };
}
async function groupOf(trx: Knex.Transaction, who: Who, id: string | undefined): Promise<string | null> {
  if (id === undefined) return null;
  const row = await trx('server_groups').where({ id, ...(who.admin ? {} : { project_id: who.projectId }) }).first('id') as { id: string } | undefined;
  if (!row) throw new BadRequest(`Instance group ${id} could not be found.`);
  const limits = await limitsOf(trx, 'compute', who.projectId ?? '', defaults);
  const limit = limits['server_group_members'] ?? -1;
  const [{ count } = { count: 0 }] = await trx('servers').where({ group_id: id, deleted: false }).count('* as count') as { count: number }[];
  if (limit >= 0 && count >= limit) throw new Forbidden('Quota exceeded, too many servers in group');
  return row.id;
}

/** Limits on what the body brings, and whether its user data is what it says. */
function checkText(s: Body, limits: Readonly<Record<string, number>>): void {
  const within = (resource: string, value: number, message: string) => { const limit = limits[resource] ?? -1; if (limit >= 0 && value > limit) throw new Forbidden(message.replace('%d', String(limit))); };
  within('metadata_items', Object.keys(s.metadata ?? {}).length, 'Maximum number of metadata items exceeds %d');
  const files = s.personality ?? [];
  within('injected_files', files.length, 'Personality file limit exceeded');
  for (const f of files) {
    const bytes = Buffer.from(f.contents, 'base64');
    if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(f.contents)) throw new BadRequest(`Personality content for ${f.path} cannot be decoded`);
    within('injected_file_path_bytes', Buffer.byteLength(f.path), 'Personality file path exceeds maximum length');
    within('injected_file_content_bytes', bytes.length, 'Personality file content exceeds maximum size');
  }
  if (s.user_data != null && (s.user_data.replaceAll(/\s/g, '').length % 4 !== 0 || !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(s.user_data))) throw new BadRequest('User data needs to be valid base 64.');
}

/** How many of those that were asked for the project may still have: at least `min`, or the 403 of nova. */
async function countFor(trx: Knex.Transaction, projectId: string, flavor: FlavorRow, min: number, max: number): Promise<number> {
  const limits = await limitsOf(trx, 'compute', projectId, defaults);
  const used = await usageOf(trx, 'compute', projectId);
  const each = { cores: flavor.vcpus, instances: 1, ram: flavor.memory_mb };
  let count = max;
  for (const [name, amount] of Object.entries(each)) {
    const limit = limits[name] ?? -1;
    if (limit >= 0) count = Math.min(count, Math.max(0, Math.floor((limit - (used[name] ?? 0)) / amount)));
  }
  if (count < min) throw overQuota(limits, used, each, min);
  return count;
}
function overQuota(limits: Readonly<Record<string, number>>, used: Readonly<Record<string, number>>, each: Readonly<Record<string, number>>, count: number): Forbidden {
  const over = Object.entries(each).filter(([name, amount]) => (limits[name] ?? -1) >= 0 && (used[name] ?? 0) + amount * count > (limits[name] ?? -1)).map(([name]) => name);
  const list = (of: (name: string) => number) => over.map(of).join(', ');
  const names = over.join(', ');
  return new Forbidden(`Quota exceeded for ${names}: Requested ${list(n => (each[n] ?? 0) * count)}, but already used ${list(n => used[n] ?? 0)} of ${list(n => limits[n] ?? -1)} ${names}`);
}

interface Plan { s: Body; hints: Hints; who: Who & { projectId: string }; flavor: FlavorRow; disks: Disks; nics: AskedNic[]; groups: string[]; key: object; place: Place; group: string | null; count: number; reservation: string; password: string }

async function insertAll(c: Compute, ctx: Context<CreateBody>, trx: Knex.Transaction, p: Plan): Promise<string[]> {
  const { s, who, flavor, disks } = p;
  const ids = Array.from({ length: p.count }, () => newId());
  // Lengths of names are checked once more: `-1` is added to each of several.
  const rows = ids.map((id, i) => {
    const name = p.count > 1 ? `${s.name}-${i + 1}` : s.name;
    return {
      id, project_id: who.projectId, user_id: who.userId, name, description: s.description ?? (ctx.dialect.has('no default description') ? null : s.name), hostname: s.hostname ?? hostnameOf(name, `Server-${id}`), reservation_id: p.reservation, launch_index: i,
      vm_state: 'error', image_id: disks.volumeBacked ? null : disks.image?.id ?? null, image: JSON.stringify(imageColumns(disks)), flavor: JSON.stringify(snapshotOf(flavor)), vcpus: flavor.vcpus, memory_mb: flavor.memory_mb,
      ...p.key, user_data: s.user_data ?? null, config_drive: s.config_drive ?? disks.image?.properties['img_config_drive'] === 'mandatory', personality: JSON.stringify(s.personality ?? []), metadata: JSON.stringify(s.metadata ?? {}), tags: [...new Set(s.tags ?? [])],
      access_ip_v4: s.accessIPv4 ?? '', access_ip_v6: s.accessIPv6 ?? '', disk_config: s['OS-DCF:diskConfig'] ?? 'MANUAL', trusted_certs: s.trusted_image_certificates == null ? null : JSON.stringify(s.trusted_image_certificates), scheduler_hints: JSON.stringify(p.hints), group_id: p.group, pinned_zone: p.place.zone ?? null,
    };
  });
  await trx('servers').insert(rows);
  if (disks.devices.length > 0) await trx('block_devices').insert(ids.flatMap(id => disks.devices.map(d => ({ ...d, id: newId(), server_id: id }))));
  const over = await overLimit(trx, 'compute', who.projectId, ['cores', 'instances', 'ram'], defaults);
  if (over) throw new Forbidden(`Quota exceeded for ${over.resource}: Requested ${over.resource === 'cores' ? flavor.vcpus * p.count : over.resource === 'ram' ? flavor.memory_mb * p.count : p.count}, but already used ${over.used - (over.resource === 'cores' ? flavor.vcpus * p.count : over.resource === 'ram' ? flavor.memory_mb * p.count : p.count)} of ${over.limit} ${over.resource}`);
  for (const id of ids) await reserveGiven(c, trx, id, who, disks);
  for (const id of ids) await placeOne(c, ctx, trx, id, p);
  return ids;
}
const imageColumns = ({ image }: Disks) => (image ? { id: image.id, name: image.name, disk_format: image.disk_format, container_format: image.container_format, checksum: image.checksum, size: image.size, min_disk: image.min_disk, min_ram: image.min_ram, properties: image.properties } : {});

/** Volumes that exist already are taken now, so that who comes second hears it at once. */
async function reserveGiven(c: Compute, trx: Knex.Transaction, id: string, who: Who, disks: Disks): Promise<void> {
  if (!disks.devices.some(d => d.source_type === 'volume')) return;
  const rows: { id: string; volume_id: string }[] = await trx('block_devices').where({ server_id: id, source_type: 'volume' });
  for (const d of rows) {
    const attachment = await c.n.volumes.reserve(trx, { volumeId: d.volume_id, serverId: id, who, multiattach: true });
    await trx('block_devices').where({ id: d.id }).update({ attachment_id: attachment.id });
  }
}

/** Finds a host, takes the share there and enqueues the build; a server that fits nowhere rests in ERROR and says why. */
async function placeOne(c: Compute, ctx: Context<CreateBody>, trx: Knex.Transaction, id: string, p: Plan): Promise<void> {
  const row: ServerRow = await trx('servers').where({ id }).first();
  const { zone, host, node } = p.place;
  const asked = { ...(zone === undefined ? {} : { zone }), ...(host === undefined ? {} : { host }), ...(node === undefined ? {} : { node }), forced: p.place.forced === true && host !== undefined };
  const { scheduler } = c.rt.settings.compute;
  try {
    const known = await candidates(trx, scheduler, needsOf(row.flavor.extra_specs, row.image.properties));
    if (p.place.host !== undefined && !p.place.forced && !known.some(h => h.host === p.place.host)) throw new BadRequest(`Compute host ${p.place.host} could not be found.`);
    const at = await claim(trx, id, { ...await wishOf(trx, row, row.flavor), ...asked }, { scheduler, hosts: known });
    const task = newId();
    await c.rt.tasks.enqueue(trx, createPlan, { serverId: id, networks: p.nics, groups: p.groups, admin: p.who.admin, asked, tried: [], ...(row.config_drive ? { password: sealPassword(c.rt.sealer, id, p.password) } : {}) }, { id: task, queue: hostQueue(at.host), lane: laneOf(id), resource: { type: 'server', id }, by: byOf(ctx) });
    await trx('servers').where({ id }).update({ vm_state: 'building', task_state: 'scheduling', task_id: task, host: at.host, node: at.node, availability_zone: at.zone });
    await record(trx, ctx, id, 'create', task);
  } catch (error) {
    if (!(error instanceof NoValidHost)) throw error;
    await trx('servers').where({ id }).update({ vm_state: 'error', fault: JSON.stringify(faultOf(error.message, c.rt.clock(), error.details)) });
    await trx('server_actions').insert({ server_id: id, action: 'create', request_id: ctx.requestId, user_id: p.who.userId, project_id: p.who.projectId, message: 'Error' });
  }
}
