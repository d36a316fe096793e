import { DriverError, plainCall, type Call } from '@cumulet/drivers';
import type { HypervisorEvent, PowerState } from '@cumulet/drivers/hypervisor';
import { transaction } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { newId } from '@cumulet/wire';
import type { ComputeDeps } from '../deps.ts';
import { offloadPlan } from '../plans/snapshot.ts';
import { beginDelete } from '../servers/remove.ts';
import { confirmResize } from '../servers/confirm.ts';
import { hostQueue, laneOf, type ServerRow } from '../servers/row.ts';
import { specOf, type Places } from '../servers/spec.ts';
import { vmStateOfPower } from '../servers/states.ts';
import { portsOf } from '../servers/store.ts';

const call = (deps: ComputeDeps, log: Runtime['log'], name: string): Call => ({ ...plainCall(name), log: log as never, taskId: `${name}-${deps.host}` });

/** What this host has and may promise: its row among the compute hosts. */
export async function reportHost(deps: ComputeDeps, log: Runtime['log']): Promise<Record<string, unknown>> {
  const facts = await deps.hypervisor.host(call(deps, log, 'facts'));
  const h = deps.settings.hypervisor;
  const row = {
    host: deps.host, node: facts.hostname, vcpus: facts.vcpus, memory_mb: facts.memoryMiB, disk_gb: facts.diskGiB, cpu_ratio: h.cpuAllocationRatio, ram_ratio: h.ramAllocationRatio, disk_ratio: h.diskAllocationRatio,
    reserved_memory_mb: Math.min(h.reservedHostMemoryMiB, Math.floor(facts.memoryMiB / 2)),
    facts: JSON.stringify({ type: facts.type, version: facts.version, virtType: facts.virtType, cpuInfo: facts.cpuInfo, uptimeSeconds: facts.uptimeSeconds, loadAverage: facts.loadAverage, freeDiskGiB: facts.freeDiskGiB, firmware: facts.firmware, address: deps.settings.publicHost ?? deps.settings.bind, storageId: facts.storageId, live: deps.hypervisor.migrate !== undefined, ...(deps.disksUrl === undefined ? {} : { disksUrl: deps.disksUrl }) }),
    deleted: false, seen_at: deps.db.fn.now(),
  };
  await deps.db('compute_hosts').insert(row).onConflict('host').merge();
  return { type: facts.type, virtType: facts.virtType, vcpus: facts.vcpus, memoryMiB: facts.memoryMiB, diskGiB: facts.diskGiB, driver: deps.hypervisor.name };
}

const settled: readonly string[] = ['active', 'paused', 'suspended', 'stopped', 'rescued', 'resized'];

/** After a restart: servers come back as they were, and what belongs to none of ours goes. One that cannot come back says why and does not hold up the rest. */
export async function restoreServers(deps: ComputeDeps, log: Runtime['log']): Promise<void> {
  const c = call(deps, log, 'restore');
  const domains = await deps.hypervisor.list(c);
  const rows: ServerRow[] = await deps.db('servers').where({ host: deps.host, deleted: false });
  // Who holds a share of this host is on its way here, or has left and may come back: its tasks know what to do with its domain.
  const shares = new Set((await deps.db('allocations').where({ host: deps.host }).select('server_id') as { server_id: string }[]).map(a => a.server_id));
  for (const d of domains) {
    if (rows.some(r => r.id === d.id) || shares.has(d.id)) continue;
    // Evacuated to a host that shares the storage: the disks are that one's now.
    const elsewhere = await deps.db('servers as s').join('compute_hosts as h', 'h.host', 's.host').where({ 's.id': d.id, 's.deleted': false }).whereRaw(`h.facts ->> 'storageId' = (select facts ->> 'storageId' from compute_hosts where host = ?)`, [deps.host]).first('s.id') !== undefined;
    log.warn({ server: d.id, elsewhere }, 'a domain whose server is gone is removed');
    await deps.hypervisor.servers.destroy(c, d.id, { elsewhere });
  }
  for (const row of rows) {
    if (row.task_state !== null || !settled.includes(row.vm_state)) continue;
    try {
      const places: Record<string, Places[string]> = {};
      for (const { port_id } of await portsOf(deps.db, row.id)) places[port_id] = await deps.networks.plug(c, port_id);
      const is = domains.find(d => d.id === row.id)?.state ?? 'nostate';
      if (is === row.wanted_power) { await note(deps, row.id, is); continue; }
      await deps.hypervisor.servers.restore(c, await specOf(deps, deps.db, row, places), row.wanted_power);
      await note(deps, row.id, await deps.hypervisor.servers.powerState(c, row.id));
    } catch (error) {
      log.error({ err: error, server: row.id }, 'a server did not come back');
      await note(deps, row.id, 'nostate', error instanceof DriverError ? error.message : 'The server could not be started again.');
    }
  }
}

/** What the hypervisor says of a server that rests. A task at work will say it itself. */
async function note(deps: ComputeDeps, id: string, state: PowerState, fault?: string): Promise<void> {
  const vm = fault === undefined ? vmStateOfPower[state] : 'error';
  const rows = deps.db('servers').where({ id, host: deps.host, deleted: false }).whereNull('task_id');
  await rows.clone().whereIn('vm_state', ['active', 'paused', 'suspended', 'stopped']).update({
    power_state: state, vm_state: vm ?? 'error', updated_at: deps.db.raw(`case when vm_state = ? and power_state = ? then updated_at else now() end`, [vm ?? 'error', state]),
    ...(fault === undefined ? {} : { fault: JSON.stringify({ code: 500, message: fault.slice(0, 255), created: new Date(deps.clock()).toISOString().replace(/\.\d+Z$/, 'Z') }) }),
  });
  await rows.clone().whereIn('vm_state', ['rescued', 'resized']).update({ power_state: state });
}

const stateOf: Readonly<Record<Exclude<HypervisorEvent['kind'], 'gap'>, PowerState>> = { started: 'running', stopped: 'shutdown', paused: 'paused', unpaused: 'running', suspended: 'suspended', crashed: 'crashed' };

/** Guests power off, panic, and are stopped by hands on the host: servers follow. */
export function followEvents(deps: ComputeDeps, log: Runtime['log']): () => void {
  return deps.hypervisor.events(event => {
    const heard = event.kind === 'gap' ? syncPower(deps, log) : (async () => {
      const state = stateOf[event.kind];
      await note(deps, event.serverId, state);
      if (event.byGuest && state === 'shutdown') await deps.db('servers').where({ id: event.serverId, host: deps.host, vm_state: 'stopped' }).whereNull('task_id').update({ wanted_power: 'shutdown' });
    })();
    heard.catch((error: unknown) => log.warn({ err: error }, 'an event of the hypervisor was not noted'));
  });
}

/** What events may have missed. */
export async function syncPower(deps: ComputeDeps, log: Runtime['log']): Promise<void> {
  const domains = new Map((await deps.hypervisor.list(call(deps, log, 'sync'))).map(d => [d.id, d.state]));
  const rows: Pick<ServerRow, 'id' | 'power_state' | 'vm_state'>[] = await deps.db('servers').where({ host: deps.host, deleted: false }).whereNull('task_id').whereIn('vm_state', [...settled]).select('id', 'power_state', 'vm_state');
  for (const row of rows) { const is = domains.get(row.id) ?? 'nostate'; if (is !== row.power_state) await note(deps, row.id, is); }
}

/** Shelved servers leave their host after the time that the settings give. */
export async function offloadShelved(deps: ComputeDeps): Promise<void> {
  const after = deps.settings.hypervisor.shelvedOffloadSeconds;
  if (after <= 0) return;
  const due: { id: string }[] = await deps.db('servers').where({ host: deps.host, vm_state: 'shelved', deleted: false }).whereNull('task_id').where('shelved_at', '<', deps.db.raw(`now() - make_interval(secs => ?)`, [after])).select('id');
  for (const { id } of due) await transaction(deps.db, async trx => {
    const row = await trx('servers').where({ id, vm_state: 'shelved' }).whereNull('task_id').forUpdate().first('id', 'project_id', 'user_id');
    if (!row) return;
    const task = await deps.tasks.enqueue(trx, offloadPlan, { serverId: id }, { queue: hostQueue(deps.host), lane: laneOf(id), resource: { type: 'server', id }, by: { projectId: row.project_id, userId: row.user_id } });
    await trx('servers').where({ id }).update({ task_state: 'shelving_offloading', task_id: task });
  });
}

/** Soft-deleted servers whose time is over are deleted. */
export async function reclaimServers(deps: ComputeDeps): Promise<void> {
  const after = deps.settings.compute.reclaimSeconds;
  if (after <= 0) return;
  const due: { id: string }[] = await deps.db('servers').where({ host: deps.host, vm_state: 'soft-delete', deleted: false }).whereNull('task_id').where('hidden_since', '<', deps.db.raw(`now() - make_interval(secs => ?)`, [after])).select('id');
  for (const { id } of due) await transaction(deps.db, async trx => {
    const row: ServerRow | undefined = await trx('servers').where({ id, vm_state: 'soft-delete', deleted: false }).whereNull('task_id').forUpdate().first();
    if (row) await beginDelete({ tasks: deps.tasks }, trx, row, { projectId: row.project_id, userId: row.user_id }, task => trx('server_actions').insert({ server_id: id, action: 'delete', request_id: `req-${newId()}`, project_id: row.project_id, user_id: row.user_id, task_id: task }));
  });
}

/** Resizes and migrations that nobody decided are kept after the time that the settings give. */
export async function confirmResizes(deps: ComputeDeps): Promise<void> {
  const after = deps.settings.compute.resizeConfirmSeconds;
  if (after <= 0) return;
  const due: { num: number }[] = await deps.db('server_migrations as m').join('servers as s', 's.id', 'm.server_id').where({ 'm.status': 'finished', 's.vm_state': 'resized', 's.deleted': false, 's.host': deps.host }).whereNull('s.task_id').where('m.updated_at', '<', deps.db.raw(`now() - make_interval(secs => ?)`, [after])).select('m.num');
  for (const { num } of due) await transaction(deps.db, async trx => {
    const m = await trx('server_migrations').where({ num, status: 'finished' }).first('num', 'server_id', 'source_host', 'dest_host') as { num: number; server_id: string; source_host: string; dest_host: string } | undefined;
    const row: ServerRow | undefined = m && await trx('servers').where({ id: m.server_id, vm_state: 'resized', deleted: false }).whereNull('task_id').forUpdate().first();
    if (m && row) await confirmResize({ tasks: deps.tasks }, { projectId: row.project_id, userId: row.user_id, requestId: `req-${newId()}` }, trx, row, m);
  });
}

export async function tidyImages(deps: ComputeDeps): Promise<void> {
  const rows: { a: string | null; b: string | null; c: string | null }[] = await deps.db('servers').where({ host: deps.host, deleted: false }).select(deps.db.raw(`image ->> 'id' as a, system #>> '{base_image,id}' as b, rescue ->> 'id' as c`));
  await deps.cache.tidy(new Set(rows.flatMap(r => [r.a, r.b, r.c].filter(id => id !== null))), deps.clock());
}
