import { plans, type Outcome, type TaskFacts } from '@cumulet/tasks';
import { newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import { callOf, plan, type ComputeDeps } from '../deps.ts';
import { claim, NoValidHost } from '../scheduler/claim.ts';
import { wishOf } from '../scheduler/wish.ts';
import { hostQueue, isVolumeBacked, laneOf, type ServerRow } from '../servers/row.ts';
import { openPassword } from '../servers/secrets.ts';
import { devicesOf, faultOf, portsOf, rest } from '../servers/store.ts';
import { completeVolumes, connectAll, letGoOfVolumes, reserveVolumes } from './volumes.ts';
import { disconnectVolumes } from './source.ts';
import { forServer, places, rowOf, show, spec, unplugAll } from './steps.ts';

export const requestedNetwork = z.object({ network: z.string().optional(), port: z.string().optional(), fixedIp: z.string().optional(), tag: z.string().optional() });
const asked = z.object({ zone: z.string().optional(), host: z.string().optional(), node: z.string().optional(), forced: z.boolean().optional() });
const createInput = forServer.extend({
  networks: z.array(requestedNetwork), groups: z.array(z.string()), admin: z.boolean().default(false),
  /** What the request said of the place, and the hosts that failed to build it. */
  /** Of servers with a config drive: sealed. */
  password: z.string().optional(),
  asked: asked.default({}), tried: z.array(z.string()).default([]),
});
/** Where another host may do better; a server that no host could build is not tried on another. */
const ofTheHost: ReadonlySet<string> = new Set(['image', 'plug', 'spawn', 'devices']);

/** From a claimed place on a host to a guest that runs. Every step can be taken back; what is left of a failed server is its row and why. */
export const createPlan = plan('server.create', createInput)
  .step('network', async t => {
    await show(t, 'networking');
    const row = await rowOf(t);
    const who = { projectId: row.project_id, userId: row.user_id, admin: t.input.admin };
    await t.transaction(async trx => {
      const have = await portsOf(trx, row.id);
      for (const [position, asked] of t.input.networks.entries()) {
        if (have.some(p => p.position === position)) continue;
        const zone = row.availability_zone ?? 'nova';
        let port: { id: string; network_id: string };
        if (asked.port !== undefined) {
          await t.deps.networks.take(trx, asked.port, row.id, { zone, hostname: row.hostname });
          port = await t.deps.networks.port(trx, who, asked.port);
        } else port = await t.deps.networks.createPort(trx, { who, serverId: row.id, networkId: asked.network ?? '', zone, hostname: row.hostname, ...(asked.fixedIp === undefined ? {} : { fixedIp: asked.fixedIp }), ...(t.input.groups.length > 0 ? { securityGroupIds: t.input.groups } : {}) });
        await trx('server_ports').insert({ server_id: row.id, port_id: port.id, network_id: port.network_id, position, created_by_us: asked.port === undefined, tag: asked.tag ?? null });
        await t.deps.networks.bind(trx, port.id, t.deps.host);
      }
    });
  }, {
    undo: async t => { await unplugAll(t); await t.transaction(trx => dropPorts(t.deps, trx, t.input.serverId)); },
  })
  .step('volumes', async t => {
    await show(t, 'block_device_mapping');
    await t.transaction(async trx => reserveVolumes(t.deps, trx, await rowOf(t)));
  })
  // Connections that the host before this one had.
  .step('disconnect', async t => { if (t.input.tried.length > 0) await disconnectVolumes(t); })
  .step('connect', async t => { await connectAll(t); })
  .step('image', async t => {
    const row = await rowOf(t);
    if (!isVolumeBacked(await devicesOf(t.deps.db, row.id))) await t.deps.cache.fetch(callOf(t), row.image);
  })
  .step('plug', t => places(t))
  .step('spawn', async t => {
    await show(t, 'spawning');
    await t.deps.hypervisor.servers.create(callOf(t), await spec(t, t.out.plug, t.input.password === undefined ? {} : { adminPass: openPassword(t.deps.sealer(), t.input.serverId, t.input.password) }));
  }, { undo: t => t.deps.hypervisor.servers.destroy(callOf(t), t.input.serverId) })
  .step('devices', async t => {
    const { disks } = await t.deps.hypervisor.servers.devices(callOf(t), t.input.serverId);
    return { root: disks.find(d => d.role === 'root')?.device ?? null, volumes: Object.fromEntries(disks.flatMap(d => (d.volumeId === undefined ? [] : [[d.volumeId, d.device]]))) };
  })
  .settles(async (trx, how, t) => {
    const { serverId } = t.input;
    if (how.state === 'done') {
      const { root, volumes } = t.out.devices as { root: string | null; volumes: Record<string, string> };
      await completeVolumes(t.deps, trx, serverId, volumes);
      await rest(trx, serverId, t.taskId, { vm_state: 'active', power_state: 'running', wanted_power: 'running', launched_at: trx.fn.now(), root_device_name: `/dev/${root ?? 'vda'}`, progress: 0, fault: null });
      await trx('compute_hosts').where({ host: t.deps.host }).whereNot({ build_failures: 0 }).update({ build_failures: 0 });
      return;
    }
    if (how.state === 'failed' && ofTheHost.has(how.error?.step ?? '') && how.error?.kind !== 'invalid') {
      await trx('compute_hosts').where({ host: t.deps.host }).increment('build_failures');
      const again = await elsewhere(trx, t);
      if (again === undefined) return;
      await giveUp(trx, t, how, again);
      return;
    }
    await giveUp(trx, t, how);
  });

type Settling = TaskFacts & { readonly input: z.output<typeof createInput>; readonly deps: ComputeDeps };
/** On the next best host, from the start; undefined when it is under way there (or the server is somebody else's by now), else why not. */
async function elsewhere(trx: Knex.Transaction, t: Settling): Promise<string | undefined> {
  const { serverId, asked: place } = t.input;
  const tried = [...t.input.tried, t.deps.host];
  const { maxAttempts, scheduler } = t.deps.settings.compute;
  const row: ServerRow | undefined = await trx('servers').where({ id: serverId, task_id: t.taskId }).first();
  if (!row) return undefined;
  const exhausted = `Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance ${serverId}.`;
  if (place.forced || tried.length >= maxAttempts) return exhausted;
  await trx('allocations').where({ server_id: serverId }).delete();
  let next;
  try { next = await claim(trx, serverId, { ...await wishOf(trx, row, row.flavor), ...place, avoid: tried }, { scheduler }); } catch (error) {
    if (error instanceof NoValidHost) return exhausted;
    throw error;
  }
  const id = newId();
  await t.deps.tasks.enqueue(trx, createPlan, { ...t.input, tried }, { id, queue: hostQueue(next.host), lane: laneOf(serverId), resource: { type: 'server', id: serverId }, by: { projectId: t.projectId ?? undefined, userId: t.userId ?? undefined, requestId: t.requestId ?? undefined } });
  await trx('servers').where({ id: serverId }).update({ task_state: 'scheduling', task_id: id, host: next.host, node: next.node, availability_zone: next.zone, updated_at: trx.fn.now() });
  // The history goes on with the task that is at work, after what the one before did on its host.
  await trx.raw(`update server_actions a set task_id = ?, earlier_steps = a.earlier_steps || t.steps from tasks t where t.id = a.task_id and a.server_id = ? and a.task_id = ?`, [id, serverId, t.taskId]);
  return undefined;
}

async function giveUp(trx: Knex.Transaction, t: Settling, how: Outcome, exhausted?: string): Promise<void> {
  const { serverId } = t.input;
  // Nothing of it is on the host any more: its share goes back, and it belongs to no host.
  await trx('allocations').where({ server_id: serverId }).delete();
  await letGoOfVolumes(t.deps, trx, serverId, t);
  const reason = how.error?.message ?? 'The build failed.';
  const message = how.state === 'cancelled' ? 'The build was cancelled.' : exhausted === undefined ? `Build of instance ${serverId} aborted: ${reason}` : `${exhausted} ${reason}`;
  await rest(trx, serverId, t.taskId, { vm_state: 'error', power_state: 'nostate', host: null, node: null, fault: faultOf(message, t.deps.clock(), `step ${how.error?.step ?? '?'} on host ${t.deps.host}${t.input.tried.length > 0 ? `, after ${t.input.tried.join(', ')}` : ''}: ${reason}`) });
}

/** The server's ports: its own go, those that were there before are free again. */
export async function dropPorts(deps: { networks: import('../neighbours.ts').Neighbours['networks'] }, trx: import('knex').Knex.Transaction, serverId: string, only?: string): Promise<void> {
  for (const p of await portsOf(trx, serverId)) {
    if (only !== undefined && p.port_id !== only) continue;
    if (p.created_by_us) await deps.networks.deletePort(trx, p.port_id); else await deps.networks.release(trx, p.port_id);
    await trx('server_ports').where({ server_id: serverId, port_id: p.port_id }).delete();
  }
}
export const createPlans = plans(createPlan);
