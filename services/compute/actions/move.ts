import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, newId, shape, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { movePlan } from '../plans/move.ts';
import { amountsOf, candidates, claim, groupWish, NoValidHost } from '../scheduler/claim.ts';
import { act } from '../servers/act.ts';
import { adminPass, boolean, hostName } from '../servers/fields.ts';
import { newPassword } from '../servers/names.ts';
import { hostQueue, isVolumeBacked, type ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import { path } from './power.ts';

const host = hostName.nullable();
const Migrate = shape('Migrate', z.strictObject({ migrate: z.strictObject({ host: host.optional() }).nullable() }));
const Live = shape('MigrateLive', z.strictObject({ 'os-migrateLive': z.strictObject({ host, block_migration: z.union([boolean, z.literal('auto')]) }) }));
const Evacuate = shape('Evacuate', z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), adminPass: adminPass.optional() }) }));
const liveBefore = (more: z.ZodRawShape, block: z.ZodType = z.union([boolean, z.literal('auto')])) => z.strictObject({ 'os-migrateLive': z.strictObject({ host, block_migration: block, ...more }) });
export const changes: Change[] = [
  { at: '2.56', shape: 'Migrate', why: 'a cold migration may name its host', was: () => z.looseObject({ migrate: z.unknown() }), up: () => ({ migrate: null }) },
  { at: '2.14', shape: 'Evacuate', why: 'shared storage is found out, not said', was: () => z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), onSharedStorage: boolean, adminPass: adminPass.optional() }) }), up: (b: { evacuate: { host?: string; adminPass?: string } }) => ({ evacuate: { ...(b.evacuate.host === undefined ? {} : { host: b.evacuate.host }), ...(b.evacuate.adminPass === undefined ? {} : { adminPass: b.evacuate.adminPass }) } }) },
  { at: '2.14', trait: 'no password after evacuation', why: 'evacuation does not answer with a password' },
  { at: '2.29', shape: 'Evacuate', why: 'force, until it is gone again in 2.68', was: () => z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), adminPass: adminPass.optional() }) }) },
  { at: '2.68', shape: 'Evacuate', why: 'force is gone', was: () => z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), adminPass: adminPass.optional(), force: boolean.optional() }) }), up: (b: { evacuate: Record<string, unknown> }) => { const { force: _, ...rest } = b.evacuate; return { evacuate: rest }; } },
  { at: '2.25', shape: 'MigrateLive', why: 'auto, and no more disk over-commitment', was: () => liveBefore({ disk_over_commit: boolean }, boolean), up: (b: { 'os-migrateLive': Record<string, unknown> }) => { const { disk_over_commit: _, ...rest } = b['os-migrateLive']; return { 'os-migrateLive': rest }; } },
  { at: '2.30', shape: 'MigrateLive', why: 'force, until it is gone again in 2.68', was: () => liveBefore({}) },
  { at: '2.68', shape: 'MigrateLive', why: 'force is gone', was: () => liveBefore({ force: boolean.optional() }), up: (b: { 'os-migrateLive': Record<string, unknown> }) => { const { force: _, ...rest } = b['os-migrateLive']; return { 'os-migrateLive': rest }; } },
];

export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'servers.migrate', summary: 'Move a server to another host, stopped', method: 'POST', path, action: 'migrate', policy: 'os_compute_api:os-migrate-server:migrate', permit: 'object', status: 202, body: Migrate,
    handler: async ctx => {
      const to = ctx.body.migrate?.host ?? undefined;
      if (to !== undefined) ctx.require('os_compute_api:os-migrate-server:migrate:host', {});
      await act(c, ctx as never, { action: 'migrate', history: 'migrate', plan: movePlan, taskState: 'resize_prep', prepare: (trx, row, task) => destination(c, ctx as never, trx, row, task, 'cold', to) });
    },
  }),
  operation({
    id: 'servers.live_migrate', summary: 'Move a running server', method: 'POST', path, action: 'os-migrateLive', policy: 'os_compute_api:os-migrate-server:migrate_live', permit: 'object', status: 202, body: Live,
    handler: async ctx => {
      const to = ctx.body['os-migrateLive'].host ?? undefined;
      if (to !== undefined) ctx.require('os_compute_api:os-migrate-server:migrate_live:host', {});
      await act(c, ctx as never, { action: 'os-migrateLive', history: 'live-migration', plan: movePlan, taskState: 'migrating', prepare: (trx, row, task) => destination(c, ctx as never, trx, row, task, 'live', to) });
    },
  }),
  operation({
    id: 'servers.evacuate', summary: 'Bring a server of a dead host up elsewhere', method: 'POST', path, action: 'evacuate', policy: 'os_compute_api:os-evacuate', permit: 'object', body: Evacuate,
    handler: async ctx => {
      await act(c, ctx as never, {
        action: 'evacuate', history: 'evacuate', plan: movePlan, taskState: 'rebuilding',
        prepare: async (trx, row, task) => {
          const known = (await candidates(trx)).find(h => h.host === row.host);
          if (known && !known.forced_down && known.age < 25) throw new BadRequest(`Compute service of ${row.host} is still in use.`);
          return destination(c, ctx as never, trx, row, task, 'evacuate', ctx.body.evacuate.host);
        },
      });
      return ctx.dialect.has('no password after evacuation') ? {} : { adminPass: ctx.body.evacuate.adminPass ?? newPassword() };
    },
  }),
];

/** Another host that can take it, its share there, and the row that tells of it. */
async function destination(c: Compute, ctx: Context, trx: Knex.Transaction, row: ServerRow, taskId: string, kind: 'cold' | 'live' | 'evacuate', to: string | undefined) {
  const known = await candidates(trx);
  if (to !== undefined && !known.some(h => h.host === to)) throw new BadRequest(`Compute host ${to} could not be found.`);
  if (to === row.host) throw new BadRequest(kind === 'evacuate' ? `The target host can't be the same one.` : kind === 'live' ? `Unable to migrate instance (${row.id}) to current host (${to}).` : 'Cannot migrate to the host where the server exists.');
  const devices = await devicesOf(trx, row.id);
  const backed = isVolumeBacked(devices);
  const wish = {
    ...amountsOf(row.flavor, backed), ...(to === undefined ? {} : { host: to }), avoid: row.host === null ? [] : [row.host], ...(row.pinned_zone === null ? {} : { zone: row.pinned_zone }), group: await groupWish(trx, row.group_id, row.id), image: row.image.properties ?? {}, extraSpecs: row.flavor.extra_specs,
  };
  let found;
  try { found = await claim(trx, row.id, wish, { heldFor: 'migration', hosts: known }); } catch (error) { throw error instanceof NoValidHost ? new BadRequest(error.message) : error; }
  // Local disks do not travel yet: only what is on volumes does, and what exists on paper.
  const real = known.some(h => h.host === row.host && h.facts.type !== undefined && (h.facts as { virtType?: string }).virtType !== 'fake');
  if (real && kind === 'live') throw new BadRequest(`Migration pre-check error: the hypervisor of ${row.host} cannot migrate running servers to another host.`);
  if (real && kind === 'cold' && !backed) throw new BadRequest('Migration pre-check error: the disk of the server is local to its host.');
  const [made] = await trx('server_migrations').insert({
    id: newId(), server_id: row.id, project_id: row.project_id, user_id: ctx.caller.userId, type: kind === 'cold' ? 'migration' : kind === 'live' ? 'live-migration' : 'evacuation', status: kind === 'live' ? 'running' : kind === 'cold' ? 'migrating' : 'accepted',
    source_host: row.host, dest_host: found.host, old_flavor: row.flavor.num, new_flavor: row.flavor.num, task_id: taskId,
  }).returning('num') as { num: number }[];
  return { input: { serverId: row.id, migration: (made as { num: number }).num, from: row.host ?? '', zone: found.zone, node: found.node, kind, former: row.vm_state }, queue: hostQueue(found.host) };
}
