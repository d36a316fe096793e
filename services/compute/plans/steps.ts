import type { PowerState } from '@cumulet/drivers/hypervisor';
import type { Outcome, TaskFacts } from '@cumulet/tasks';
import type { Knex } from 'knex';
import { z } from 'zod';
import { callOf, type ComputeDeps, type Step } from '../deps.ts';
import type { Places } from '../servers/spec.ts';
import { specOf } from '../servers/spec.ts';
import type { ServerRow } from '../servers/row.ts';
import { faultOf, portsOf, rest, showTask } from '../servers/store.ts';
import { vmStateOfPower } from '../servers/states.ts';

/** What every plan of a server starts from. */
export const forServer = z.object({ serverId: z.string() });
export type ForServer = z.output<typeof forServer>;

export async function rowOf(t: Step<ForServer>): Promise<ServerRow> {
  const row: ServerRow | undefined = await t.deps.db('servers').where({ id: t.input.serverId }).first();
  if (!row) throw Object.assign(new Error('The server is gone.'), { kind: 'absent' });
  return row;
}
export const show = (t: Step<ForServer>, taskState: string): PromiseLike<number> => showTask(t.deps.db, t.input.serverId, t.taskId, taskState);

/** Makes this host ready for the server's ports and says where they are plugged. Repeats. */
export async function places(t: Step<ForServer>): Promise<Places> {
  const found: Record<string, Places[string]> = {};
  for (const { port_id } of await portsOf(t.deps.db, t.input.serverId)) found[port_id] = await t.deps.networks.plug(callOf(t), port_id);
  return found;
}
/**
 * The server's ports leave this host. They are unbound first: a change of a security group under way must not put a filter back in place after its removal.
 */
export async function unplugAll(t: Step<ForServer>, o: { keepBound?: boolean } = {}): Promise<void> {
  const links = await portsOf(t.deps.db, t.input.serverId);
  if (!o.keepBound) await t.transaction(async trx => { for (const { port_id } of links) await t.deps.networks.bind(trx, port_id, undefined); });
  for (const { port_id } of links) await t.deps.networks.unplug(callOf(t), port_id);
}
/** The server as the hypervisor builds it; its image is fetched when the host has lost it. */
export async function spec(t: Step<ForServer>, at?: Places, o: Parameters<typeof specOf>[4] = {}) {
  const row = await rowOf(t);
  return specOf(t.deps, t.deps.db, row, at ?? await places(t), o);
}

/** For the undo of a step that changed a guest's power: what it is now decides what the server rests in. */
export async function notePower(t: Step<ForServer>): Promise<void> {
  const state = await t.deps.hypervisor.servers.powerState(callOf(t), t.input.serverId);
  await t.deps.db('servers').where({ id: t.input.serverId, task_id: t.taskId }).update({ power_state: state });
}
/** A failed action on power: the server rests as the hypervisor says it is; the reason is in its history. */
export async function restAsPowered(trx: Knex.Transaction, how: Outcome, t: TaskFacts & { readonly input: ForServer; readonly deps: ComputeDeps }, o: { error?: boolean } = {}): Promise<void> {
  const row: { power_state: PowerState; vm_state: string } | undefined = await trx('servers').where({ id: t.input.serverId }).first('power_state', 'vm_state');
  if (!row) return;
  const vm_state = o.error ? 'error' : vmStateOfPower[row.power_state] ?? 'error';
  await rest(trx, t.input.serverId, t.taskId, { vm_state, ...(how.state === 'failed' ? { fault: faultOf(how.error?.message ?? 'The operation failed.', t.deps.clock()) } : {}) });
}
