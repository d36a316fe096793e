import type { Trx } from '@cumulet/db';
import { isUuidLike, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { BlockDevice, Fault, ServerPort, ServerRow } from './row.ts';
import type { VmState } from './states.ts';

/** A server with what its view needs, from one query. */
export interface FullServer extends ServerRow { readonly devices: BlockDevice[]; readonly ports: ServerPort[]; readonly host_up: boolean | null; readonly host_state: { disabled: boolean; forced_down: boolean } | null }

const absent = (id: string) => new NotFound(`Instance ${id} could not be found.`);
export const normal = (id: string): string => (id.includes('-') ? id.toLowerCase() : id.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5'));

/** Seconds without a heartbeat after which a host counts as down (nova: service_down_time is 60; ours beat every 5). */
export const downAfterSeconds = 25;

/** Whether a host's worker beats, and nobody has said that it is down. */
export const hostIsUp = async (trx: Trx, host: string): Promise<boolean> => (await trx('compute_hosts').where({ host, forced_down: false }).where('seen_at', '>', trx.raw(`now() - interval '${downAfterSeconds} seconds'`)).first('host')) !== undefined;

/** Servers with their disks and ports, still without order or filter. */
export const fullServers = (trx: Trx): Knex.QueryBuilder => trx('servers as s').select('s.*',
  trx.raw(`coalesce((select jsonb_agg(to_jsonb(b) - 'connection' order by b.boot_index nulls last, b.created_at) from block_devices b where b.server_id = s.id), '[]') as devices`),
  trx.raw(`coalesce((select jsonb_agg(p order by p.position) from server_ports p where p.server_id = s.id), '[]') as ports`),
  trx.raw(`(select h.seen_at > now() - interval '${downAfterSeconds} seconds' from compute_hosts h where h.host = s.host) as host_up`),
  trx.raw(`(select jsonb_build_object('disabled', h.disabled, 'forced_down', h.forced_down) from compute_hosts h where h.host = s.host) as host_state`));

/** Throws 404 also for ids that no server can have. Deleted servers are not found. */
export async function findServer(trx: Trx, id: string, o: { lock?: boolean } = {}): Promise<ServerRow> {
  if (!isUuidLike(id)) throw absent(id);
  const query = trx('servers').where({ id: normal(id), deleted: false });
  const row: ServerRow | undefined = await (o.lock ? query.forUpdate() : query).first('*');
  if (!row) throw absent(id);
  return row;
}
export async function findFull(trx: Trx, id: string): Promise<FullServer> {
  if (!isUuidLike(id)) throw absent(id);
  const row: FullServer | undefined = await fullServers(trx).where({ 's.id': normal(id), 's.deleted': false }).first();
  if (!row) throw absent(id);
  return row;
}
export const devicesOf = (trx: Trx, serverId: string): Promise<BlockDevice[]> => trx('block_devices').where({ server_id: serverId }).orderByRaw('boot_index nulls last, created_at');
export const portsOf = (trx: Trx, serverId: string): Promise<ServerPort[]> => trx('server_ports').where({ server_id: serverId }).orderBy('position');

/** Shows how far a task is. Only while that task holds the server. */
export const showTask = (trx: Trx, id: string, task: string, state: string): PromiseLike<number> => trx('servers').where({ id, task_id: task }).update({ task_state: state, updated_at: trx.fn.now() });

/** The end of a task: it lets go of the server. False when another has taken it over. */
export async function rest(trx: Trx, id: string, task: string, to: { vm_state?: VmState; [column: string]: unknown }): Promise<boolean> {
  const { fault, ...set } = to;
  const changed = await trx('servers').where({ id, task_id: task }).update({ ...set, ...('fault' in to ? { fault: fault === null ? null : JSON.stringify(fault) } : {}), task_state: null, task_id: null, updated_at: trx.fn.now() });
  return changed > 0;
}

/** `created` is when it happened; administrators also read `details`. */
export const faultOf = (message: string, at: number, details?: string, code = 500): Fault => ({ code, message: message.slice(0, 255), created: new Date(at).toISOString().replace(/\.\d+Z$/, 'Z'), ...(details === undefined ? {} : { details }) });
