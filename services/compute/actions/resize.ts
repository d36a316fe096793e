import { overLimit, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Fault, Forbidden, shape } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { findFlavor, snapshotOf, type FlavorRow } from '../flavors/store.ts';
import { moveBackPlan, movePlan, type Resting } from '../plans/move.ts';
import { resizePlan, revertPlan } from '../plans/resize.ts';
import { defaults } from '../quotas/limits.ts';
import { amountsOf, beyond, needsOf, candidates, NoValidHost, take } from '../scheduler/claim.ts';
import { destination, tell } from '../scheduler/destination.ts';
import { passing } from '../scheduler/filters.ts';
import { wishOf } from '../scheduler/wish.ts';
import { refuseDown, refuseLocked, refuseState, serverFor, start } from '../servers/act.ts';
import { confirmResize, type Undecided } from '../servers/confirm.ts';
import * as f from '../servers/fields.ts';
import { hostQueue, isVolumeBacked, type ServerRow } from '../servers/row.ts';
import { devicesOf } from '../servers/store.ts';
import { whoOf } from '../who.ts';
import { bare, path } from './power.ts';

const Resize = shape('Resize', z.strictObject({ resize: z.strictObject({ flavorRef: z.union([z.string().min(1), z.int()]), 'OS-DCF:diskConfig': f.diskConfig.optional() }) }));
/** Of the change that waits for a decision: on its own host, or between two. */
const undecided = (trx: Knex.Transaction, serverId: string): PromiseLike<Undecided | undefined> => trx('server_migrations').where({ server_id: serverId, status: 'finished' }).orderBy('num', 'desc').first('num', 'source_host', 'dest_host');

export const routes = (c: Compute): Operation[] => {
  const decide = (ctx: Context, action: 'confirmResize' | 'revertResize', go: (trx: Knex.Transaction, row: ServerRow, m: Undecided) => Promise<unknown>) => transaction(c.rt.db, async trx => {
    const row = await serverFor(ctx, trx, { lock: true });
    refuseLocked(ctx, row);
    refuseState(row, action);
    const m = await undecided(trx, row.id);
    if (!m) throw new BadRequest('Instance has not been resized.');
    await go(trx, row, m);
  });
  return [
    operation({
      id: 'servers.resize', summary: 'Change the flavor', method: 'POST', path, action: 'resize', policy: 'os_compute_api:servers:resize', permit: 'object', status: 202, body: Resize,
      handler: ctx => transaction(c.rt.db, async trx => {
        const b = ctx.body.resize;
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseLocked(ctx, row);
        refuseState(row, 'resize');
        await refuseDown(trx, row);
        const flavor = await findFlavor(trx, whoOf(ctx), String(b.flavorRef)).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new BadRequest(error.message) : error; });
        await checkResize(c, trx, row, flavor);
        const set = { new_flavor: JSON.stringify(snapshotOf(flavor)), ...(b['OS-DCF:diskConfig'] === undefined ? {} : { disk_config: b['OS-DCF:diskConfig'] }) };
        const common = { history: 'resize', taskState: 'resize_prep' };
        if (await staysHere(c, trx, row, flavor)) {
          await start(c, ctx as never, trx, row, { ...common, plan: resizePlan, prepare: async (_, __, task) => ({ input: { serverId: row.id, migration: await tell(trx, ctx as never, row, task, { kind: 'resize', to: row.host as string, flavor }), wasRunning: row.vm_state === 'active' }, set }) });
          return;
        }
        await start(c, ctx as never, trx, row, { ...common, plan: movePlan, prepare: async (_, __, task) => {
          const { queue, to: ___, ...there } = await destination(c, ctx as never, trx, row, task, { kind: 'resize', flavor: snapshotOf(flavor) });
          return { input: { serverId: row.id, ...there, former: row.vm_state as Resting }, queue, set };
        } });
      }),
    }),
    operation({
      id: 'servers.confirm_resize', summary: 'Keep the new flavor', method: 'POST', path, action: 'confirmResize', policy: 'os_compute_api:servers:confirm_resize', permit: 'object', status: 204, body: bare('confirmResize'),
      handler: async ctx => { await decide(ctx as never, 'confirmResize', (trx, row, m) => confirmResize(c.rt, { projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId }, trx, row, m)); return new Reply(204); },
    }),
    operation({
      id: 'servers.revert_resize', summary: 'Go back to the old flavor', method: 'POST', path, action: 'revertResize', policy: 'os_compute_api:servers:revert_resize', permit: 'object', status: 202, body: bare('revertResize'),
      handler: ctx => decide(ctx as never, 'revertResize', async (trx, row, m) => {
        const common = { history: 'revertResize', taskState: 'resize_reverting' };
        const was = (row.system.former_state ?? (row.power_state === 'shutdown' ? 'stopped' : 'active')) as Resting;
        if (m.source_host === m.dest_host) return start(c, ctx, trx, row, { ...common, plan: revertPlan, prepare: () => ({ input: { serverId: row.id, migration: m.num, wasRunning: was === 'active' } }) });
        const home = (await candidates(trx, c.rt.settings.compute.scheduler)).find(h => h.host === m.source_host);
        const moved = row.system['moved'] as { shared?: boolean } | undefined;
        return start(c, ctx, trx, row, { ...common, plan: moveBackPlan, prepare: () => ({ input: { serverId: row.id, migration: m.num, from: m.source_host, node: home?.node ?? m.source_host, zone: home?.zone ?? row.availability_zone ?? 'nova', shared: moved?.shared ?? false, former: was, dest: m.dest_host, revert: true }, queue: hostQueue(m.source_host) }) });
      }),
    }),
  ];
};

/** What no host could do, and the quota: the larger of both flavors counts until it is decided. */
async function checkResize(c: Compute, trx: Knex.Transaction, row: ServerRow, flavor: FlavorRow): Promise<void> {
  if (flavor.id === row.flavor.id) throw new BadRequest('When resizing, instances must change flavor!');
  if (flavor.disabled) throw new BadRequest(`Flavor ${flavor.id} could not be found.`);
  const backed = isVolumeBacked(await devicesOf(trx, row.id));
  if (flavor.root_gb === 0 && row.flavor.root_gb !== 0 && !backed) throw new BadRequest('Resize to zero disk flavor is not allowed.');
  if (flavor.root_gb < row.flavor.root_gb && !backed) throw new BadRequest('Resize to a flavor with a smaller root disk is not supported by the hypervisor of this server.');
  await trx('servers').where({ id: row.id }).update({ vcpus: Math.max(flavor.vcpus, row.flavor.vcpus), memory_mb: Math.max(flavor.memory_mb, row.flavor.memory_mb) });
  const over = await overLimit(trx, 'compute', row.project_id, ['cores', 'ram'], defaults);
  if (!over) return;
  const delta = over.resource === 'cores' ? flavor.vcpus - row.flavor.vcpus : flavor.memory_mb - row.flavor.memory_mb;
  throw new Forbidden(`Quota exceeded for ${over.resource}: Requested ${delta}, but already used ${over.used - delta} of ${over.limit} ${over.resource}`);
}

/** Whether its own host can take the larger flavor: no disk has to travel then. */
async function staysHere(c: Compute, trx: Knex.Transaction, row: ServerRow, flavor: FlavorRow): Promise<boolean> {
  const { scheduler, resizeToSameHost } = c.rt.settings.compute;
  if (!resizeToSameHost || row.host === null) return false;
  const backed = isVolumeBacked(await devicesOf(trx, row.id));
  const [now, then] = [amountsOf(row.flavor, backed), amountsOf(snapshotOf(flavor), backed)];
  // Both are on one host, and never run at the same time: CPUs and memory are needed once, the disk twice until it is decided.
  const more = { vcpus: Math.max(0, then.vcpus - now.vcpus), memory_mb: Math.max(0, then.memory_mb - now.memory_mb), disk_gb: then.disk_gb, resources: beyond(then.resources, now.resources) };
  try { passing((await candidates(trx, scheduler, needsOf(snapshotOf(flavor).extra_specs, row.image.properties))).filter(h => h.host === row.host), { ...await wishOf(trx, row, snapshotOf(flavor)), ...more }, scheduler); } catch (error) {
    if (error instanceof NoValidHost) return false;
    throw error;
  }
  return take(trx, row.id, row.host, more, 'migration');
}
