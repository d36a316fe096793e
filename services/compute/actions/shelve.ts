import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, Fault, shape, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { imageWho } from '../neighbours.ts';
import { offloadPlan, shelvePlan, unshelvePlan } from '../plans/snapshot.ts';
import { rescuePlan, unrescuePlan } from '../plans/rescue.ts';
import { needsOf, candidates, claim, NoValidHost } from '../scheduler/claim.ts';
import { wishOf } from '../scheduler/wish.ts';
import { act, refuseLocked, refuseState, serverFor, start } from '../servers/act.ts';
import { adminPass, name, uuid } from '../servers/fields.ts';
import { newPassword } from '../servers/names.ts';
import { hostQueue, isVolumeBacked, type ServerImage, type ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import { whoOf } from '../who.ts';
import { bare, path } from './power.ts';

const Unshelve = shape('Unshelve', z.strictObject({ unshelve: z.strictObject({ availability_zone: z.string().nullable().optional(), host: z.string().optional() }).nullable() }));
const Rescue = shape('Rescue', z.strictObject({ rescue: z.strictObject({ adminPass: adminPass.optional(), rescue_image_ref: uuid.optional() }).nullable() }));
export const changes: Change[] = [
  { at: '2.77', shape: 'Unshelve', why: 'unshelve into a zone', was: () => z.looseObject({ unshelve: z.unknown() }), up: () => ({ unshelve: null }) },
  { at: '2.91', shape: 'Unshelve', why: 'unshelve to a host, and out of a zone', was: () => z.strictObject({ unshelve: z.strictObject({ availability_zone: name }).nullable() }) },
  { at: '2.87', trait: 'rescue of volume-backed servers', why: 'volume-backed servers are rescued' },
];

/** An image of the server that will hold its root disk: owned by the server's project, held by the task that fills it. */
export async function snapshotImage(c: Compute, trx: Knex.Transaction, row: ServerRow, taskId: string, o: { name: string; properties?: Readonly<Record<string, string>> }): Promise<string> {
  const skip = new Set(['os_glance_import_task', 'os_glance_importing_to_stores', 'os_glance_failed_import', 'stores', 'cache_in_nova', 'bittorrent', 'img_signature', 'img_signature_hash_method', 'img_signature_certificate_uuid', 'img_signature_key_type', 'block_device_mapping', 'bdm_v2', 'root_device_name']);
  const inherited = Object.fromEntries(Object.entries(row.image.properties ?? {}).filter(([k]) => !skip.has(k)));
  const image = await c.n.images.createRecord(trx, c.rt, {
    name: o.name, owner: row.project_id, visibility: 'private', diskFormat: 'qcow2', containerFormat: 'bare', minDisk: row.flavor.root_gb, minRam: row.image.min_ram ?? 0,
    properties: { ...inherited, base_image_ref: row.image_id ?? '', image_type: 'snapshot', instance_uuid: row.id, user_id: row.user_id, owner_user_name: '', owner_project_name: '', boot_roles: '', ...o.properties },
  });
  await c.n.images.beginSnapshot(trx, image.id, taskId);
  return image.id;
}

export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'servers.shelve', summary: 'Put a server away', method: 'POST', path, action: 'shelve', policy: 'os_compute_api:os-shelve:shelve', permit: 'object', status: 202, body: bare('shelve'),
    handler: async ctx => {
      await act(c, ctx as never, {
        action: 'shelve', history: 'shelve', plan: shelvePlan, taskState: 'shelving',
        prepare: async (trx, row, taskId) => {
          const backed = isVolumeBacked(await devicesOf(trx, row.id));
          const imageId = backed ? null : await snapshotImage(c, trx, row, taskId, { name: `${row.name}-shelved`.slice(0, 255), properties: { image_type: 'snapshot' } });
          return { input: { serverId: row.id, imageId, offload: backed || c.rt.settings.hypervisor.shelvedOffloadSeconds === 0, wasRunning: row.vm_state === 'active' }, set: {} };
        },
      });
    },
  }),
  operation({
    id: 'servers.shelve_offload', summary: 'Remove a shelved server from its host', method: 'POST', path, action: 'shelveOffload', policy: 'os_compute_api:os-shelve:shelve_offload', permit: 'object', status: 202, body: bare('shelveOffload'),
    handler: async ctx => { await act(c, ctx as never, { action: 'shelveOffload', history: 'shelveOffload', plan: offloadPlan, taskState: 'shelving_offloading', prepare: (_, row) => ({ input: { serverId: row.id } }) }); },
  }),
  operation({
    id: 'servers.unshelve', summary: 'Bring a shelved server back', method: 'POST', path, action: 'unshelve', policy: 'os_compute_api:os-shelve:unshelve', permit: 'object', status: 202, body: Unshelve,
    handler: ctx => transaction(c.rt.db, async trx => {
      const row = await serverFor(ctx as never, trx, { lock: true });
      const wish = ctx.body.unshelve;
      if (wish?.host !== undefined) ctx.require('os_compute_api:os-shelve:unshelve_to_host', { project_id: row.project_id });
      refuseLocked(ctx, row);
      refuseState(row, 'unshelve');
      const offloaded = row.vm_state === 'shelved_offloaded';
      if (wish !== null && (wish.host !== undefined || wish.availability_zone !== undefined) && !offloaded) throw new Conflict(`Specifying an availability zone or a host when unshelving server "${row.id}" with status "${row.vm_state.toUpperCase()}" is not supported. The server status must be SHELVED_OFFLOADED.`);
      await start(c, ctx as never, trx, row, {
        history: 'unshelve', plan: unshelvePlan, taskState: 'unshelving',
        prepare: async () => (offloaded ? place(c, trx, row, wish) : { input: { serverId: row.id, offloaded: false } }),
      });
    }),
  }),
  operation({
    id: 'servers.rescue', summary: 'Run a server from a rescue image', method: 'POST', path, action: 'rescue', policy: 'os_compute_api:os-rescue', permit: 'object', body: Rescue,
    handler: async ctx => {
      const adminPass = ctx.body.rescue?.adminPass ?? newPassword();
      await act(c, ctx as never, {
        action: 'rescue', history: 'rescue', plan: rescuePlan, taskState: 'rescuing',
        prepare: async (trx, row) => {
          const image = await rescueImage(c, ctx as never, trx, row, ctx.body.rescue?.rescue_image_ref);
          return { input: { serverId: row.id, image, wasRunning: row.vm_state === 'active' } };
        },
      });
      return { adminPass };
    },
  }),
  operation({
    id: 'servers.unrescue', summary: 'End the rescue', method: 'POST', path, action: 'unrescue', policy: 'os_compute_api:os-unrescue', permit: 'object', status: 202, body: bare('unrescue'),
    handler: async ctx => { await act(c, ctx as never, { action: 'unrescue', history: 'unrescue', plan: unrescuePlan, taskState: 'unrescuing', prepare: (_, row) => ({ input: { serverId: row.id } }) }); },
  }),
];

/** A host for a server that is on none: asked again as at its creation, with what the request adds. */
async function place(c: Compute, trx: Knex.Transaction, row: ServerRow, wish: { availability_zone?: string | null | undefined; host?: string | undefined } | null) {
  const zoneWanted = wish === null || wish.availability_zone === undefined ? row.pinned_zone : wish.availability_zone;
  const { scheduler } = c.rt.settings.compute;
  const known = await candidates(trx, scheduler, needsOf(row.flavor.extra_specs, row.image.properties));
  const named = wish?.host === undefined ? undefined : known.find(h => h.host === wish.host);
  if (wish?.host !== undefined && !named) throw new BadRequest(`Compute host ${wish.host} could not be found.`);
  if (named && zoneWanted != null && named.zone !== zoneWanted) throw new Conflict(`Host "${named.host}" is not in the availability zone "${zoneWanted}".`);
  if (zoneWanted != null && !known.some(h => h.zone === zoneWanted)) throw new BadRequest(`The requested availability zone is not available`);
  const at = await claim(trx, row.id, {
    ...await wishOf(trx, row, row.flavor), ...(zoneWanted == null ? {} : { zone: zoneWanted }), ...(wish?.host === undefined ? {} : { host: wish.host }),
  }, { scheduler, hosts: known }).catch((error: unknown) => { throw error instanceof NoValidHost ? new BadRequest(error.message) : error; });
  const base = row.shelved_image_id === null ? undefined : await c.n.images.find(trx, { isAdmin: true }, row.shelved_image_id).catch((error: unknown) => { throw error instanceof Fault ? new Conflict(`The image of the shelved server ${row.id} is gone.`) : error; });
  const system = { ...row.system, ...(base === undefined ? {} : { base_image: { id: base.id, disk_format: base.disk_format, container_format: base.container_format, checksum: base.checksum }, former_base: row.system.base_image === undefined ? {} : { base_image: row.system.base_image } }) };
  return {
    input: { serverId: row.id, offloaded: true }, queue: hostQueue(at.host),
    set: { host: at.host, node: at.node, availability_zone: at.zone, system: JSON.stringify(system), ...(wish?.availability_zone === undefined || wish === null ? {} : { pinned_zone: wish.availability_zone }) },
  };
}

/** What it is rescued with: the image that the request names, else the server's own. */
async function rescueImage(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, named: string | undefined): Promise<ServerImage & { id: string }> {
  const devices = await devicesOf(trx, row.id);
  const backed = isVolumeBacked(devices);
  if (backed && !ctx.dialect.has('rescue of volume-backed servers')) throw new BadRequest(`Instance ${row.id} cannot be rescued: Cannot rescue a volume-backed instance`);
  const id = named ?? row.image_id ?? row.image.id;
  if (id == null) throw new BadRequest(`Instance ${row.id} cannot be rescued: Unable to find a rescue image for it`);
  let image;
  try { image = await c.n.images.find(trx, imageWho(whoOf(ctx)), id); } catch (error) {
    if (!(error instanceof Fault)) throw error;
    // The server remembers the image that it was made from, and its host still has it.
    if (named === undefined && row.image.id !== undefined) return { ...row.image, id: row.image.id };
    throw new BadRequest(`Requested rescue image '${id}' is not supported`);
  }
  if (image.status !== 'active' || image.properties['img_block_device_mapping'] !== undefined || image.properties['block_device_mapping'] !== undefined) throw new BadRequest(`Requested rescue image '${id}' is not supported`);
  const stable = image.properties['hw_rescue_device'] !== undefined || image.properties['hw_rescue_bus'] !== undefined;
  if (backed && !stable) throw new BadRequest(`Instance ${row.id} cannot be rescued: Cannot rescue a volume-backed instance`);
  return { id: image.id, name: image.name, disk_format: image.disk_format, container_format: image.container_format, checksum: image.checksum, properties: image.properties };
}
