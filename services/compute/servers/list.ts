import { keyset } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Forbidden, isUuidLike, lastOf, parseBool, parseSort, parseTime, type Sort } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Compute } from '../compute.ts';
import type { PortFacts } from '../neighbours.ts';
import { nextLink, pageSize } from '../paging.ts';
import { isAdmin } from './act.ts';
import type { ListQueryOut } from './schemas.ts';
import { hidingTasks, statesOf } from './states.ts';
import { fullServers, normal, type FullServer } from './store.ts';

const sortable: Readonly<Record<string, string>> = {
  access_ip_v4: 's.access_ip_v4', access_ip_v6: 's.access_ip_v6', auto_disk_config: 's.disk_config', availability_zone: 's.availability_zone', config_drive: 's.config_drive', created_at: 's.created_at', display_description: 's.description', display_name: 's.name', host: 's.host', hostname: 's.hostname',
  image_ref: 's.image_id', instance_type_id: `s.num`, kernel_id: 's.num', key_name: 's.key_name', launch_index: 's.launch_index', launched_at: 's.launched_at', locked_by: 's.locked_by', node: 's.node', power_state: 's.power_state', progress: 's.progress', project_id: 's.project_id', ramdisk_id: 's.num',
  root_device_name: 's.root_device_name', task_state: 's.task_state', terminated_at: 's.terminated_at', updated_at: 's.updated_at', user_id: 's.user_id', uuid: 's.id', vm_state: 's.vm_state', locked: 's.locked_by', id: 's.id',
};
const never = new Set(['created_at', 'updated_at', 'uuid', 'id']);
/** Filters that everyone may use; the others need os_compute_api:servers:allow_all_filters. */
const open = new Set(['reservation_id', 'name', 'display_name', 'status', 'image', 'image_ref', 'flavor', 'ip', 'changes-since', 'changes-before', 'all_tenants', 'tags', 'tags-any', 'not-tags', 'not-tags-any', 'availability_zone', 'config_drive', 'key_name', 'created_at', 'launched_at', 'terminated_at', 'power_state', 'task_state', 'vm_state', 'progress', 'user_id', 'locked', 'ip6', 'limit', 'marker', 'sort_key', 'sort_dir', 'description', 'display_description', 'hostname', 'launch_index', 'uuid']);
const only = (v: string | string[] | undefined): string | undefined => lastOf(v) as string | undefined;
const list = (v: string | string[] | undefined): string[] => (v === undefined ? [] : [v].flat());
const powerNames: Readonly<Record<string, string[]>> = { '0': ['nostate'], '1': ['running'], '3': ['paused'], '4': ['shutdown', 'suspended'], '6': ['crashed'], '7': [] };

/** One page of servers with what their views need: one query, and one more for their addresses. */
export async function listServers(c: Compute, ctx: Context<unknown, ListQueryOut>, o: { detail: boolean }): Promise<{ rows: FullServer[]; ports: ReadonlyMap<string, PortFacts>; next: ReturnType<typeof nextLink> | undefined }> {
  const q = ctx.query;
  const admin = isAdmin(ctx);
  const query = fullServers(c.rt.db);
  scope(ctx, q, query, o.detail);
  const wantsDeleted = deletedWish(q, admin);
  const since = time(q, 'changes-since');
  const before = time(q, 'changes-before');
  if (since && before && since > before) throw new BadRequest('The value of changes-since must be less than or equal to changes-before.');
  if (since) query.where('s.updated_at', '>=', since);
  if (before) query.where('s.updated_at', '<=', before);
  if (wantsDeleted === true) query.where('s.deleted', true);
  else if (!(since || before) || wantsDeleted === false) query.where('s.deleted', false);
  if (parseBool(only(q['soft_deleted']) ?? 'false') === true && admin) query.where('s.vm_state', 'soft-delete');
  // Out of sight unless its status is asked for.
  else if (wantsDeleted !== true && !list(q['status']).some(s => s.toUpperCase() === 'SOFT_DELETED')) query.whereNot('s.vm_state', 'soft-delete');
  await checkPatterns(c, q);
  const empty = status(q, query, admin) || filters(ctx, q, query);
  if (empty) return { rows: [], ports: new Map(), next: undefined };
  const sorts = sorting(q);
  const limit = pageSize(c.rt, only(q['limit']));
  const marker = only(q['marker']);
  const after: Record<string, unknown> | undefined = marker === undefined ? undefined : isUuidLike(marker) ? await c.rt.db('servers').where({ id: normal(marker), ...(admin ? {} : { project_id: ctx.caller.projectId ?? '' }) }).first() : undefined;
  if (marker !== undefined && !after) throw new BadRequest(`marker [${marker}] not found`);
  keyset(query, sorts.map(s => ({ column: sortable[s.key] as string, dir: s.dir, notNull: never.has(s.key), ...(after ? { after: after[(sortable[s.key] as string).slice(2)] } : {}) })) as never, limit);
  const rows: FullServer[] = await query;
  const ports = o.detail ? await c.n.networks.ports(c.rt.db, rows.flatMap(r => r.ports.map(p => p.port_id))) : new Map<string, PortFacts>();
  const last = rows.at(-1);
  return { rows, ports, next: last && rows.length === limit ? nextLink(ctx, last.id) : undefined };
}

function scope(ctx: Context<unknown, ListQueryOut>, q: ListQueryOut, query: Knex.QueryBuilder, detail: boolean): void {
  const given = only(q['all_tenants']);
  const asked = given === undefined ? false : given === '' ? true : parseBool(given);
  if (asked === undefined) throw new BadRequest(`Invalid value '${given}' for all_tenants. Accepted boolean values are: True, 'True', 'TRUE', 'true', '1', False, 'False', 'FALSE', 'false', '0'`);
  const project = ctx.allows('os_compute_api:servers:allow_all_filters', {}) ? only(q['project_id']) ?? only(q['tenant_id']) : undefined;
  // Without all_tenants a project's id says nothing, as in upstream's v2.
  if (asked) {
    ctx.require(detail ? 'os_compute_api:servers:detail:get_all_tenants' : 'os_compute_api:servers:index:get_all_tenants', {});
    if (project !== undefined) query.where('s.project_id', project);
    return;
  }
  query.where('s.project_id', ctx.caller.projectId ?? '');
}
function deletedWish(q: ListQueryOut, admin: boolean): boolean | undefined {
  const given = only(q['deleted']);
  if (given === undefined) return undefined;
  return admin ? parseBool(given) ?? false : undefined;
}
function time(q: ListQueryOut, name: string): Date | undefined {
  const given = only(q[name]);
  if (given === undefined) return undefined;
  const at = parseTime(given);
  if (!at) throw new BadRequest(`Invalid input for query parameters ${name}. Value: ${given}. '${given}' is not a 'date-time'`);
  return at;
}
/** True when nothing can match. */
function status(q: ListQueryOut, query: Knex.QueryBuilder, admin: boolean): boolean {
  const asked = list(q['status']);
  if (asked.length === 0) return false;
  const states = asked.flatMap(statesOf);
  if (states.some(s => s.vmState === 'deleted') && !admin) throw new Forbidden('Only administrators may list deleted instances');
  if (states.length === 0) return true;
  query.where(any => {
    for (const s of states) any.orWhere(all => {
      all.where('s.vm_state', s.vmState);
      if (s.tasks === 'others') { const hiding = hidingTasks(s.vmState); if (hiding.length > 0) all.where(w => w.whereNull('s.task_state').orWhereNotIn('s.task_state', [...hiding])); } else all.whereIn('s.task_state', [...s.tasks]);
    });
  });
  return false;
}
/** Names, host names and addresses are patterns in upstream; a pattern that is none finds what contains it. */
function pattern(query: Knex.QueryBuilder, column: string, text: string): void {
  if (/^[\w .:-]*$/.test(text)) query.whereRaw(`position(lower(?) in lower(${column})) > 0`, [text]);
  else if (text.length <= 255 && !/[*+?]{2}|\(\?|\\[1-9]/.test(text)) query.whereRaw(`${column} ~* ?`, [text]);
  else query.whereRaw('false');
}
/** What the database cannot read as a pattern is refused as upstream's schema refuses it. */
async function checkPatterns(c: Compute, q: ListQueryOut): Promise<void> {
  for (const name of ['name', 'display_name', 'hostname', 'description', 'display_description', 'ip', 'ip6']) for (const text of list(q[name])) {
    if (/^[\w .:-]*$/.test(text)) continue;
    const fine = text.length <= 255 && await c.rt.db.raw(`select '' ~* ?`, [text]).then(() => true, (error: unknown) => { if ((error as { code?: string }).code === '2201B') return false; throw error; });
    if (!fine) throw new BadRequest(`Invalid input for query parameters ${name}. Value: ${text.slice(0, 255)}. '${text.slice(0, 255)}' is not a 'regex'`);
  }
}
function filters(ctx: Context<unknown, ListQueryOut>, q: ListQueryOut, query: Knex.QueryBuilder): boolean {
  const all = ctx.allows('os_compute_api:servers:allow_all_filters', {});
  const has = (name: string) => q[name] !== undefined && (all || open.has(name));
  const equal = (name: string, column: string) => { if (has(name)) query.whereIn(column, list(q[name])); };
  for (const name of ['name', 'display_name']) if (has(name)) pattern(query, 's.name', only(q[name]) as string);
  if (has('hostname')) pattern(query, 's.hostname', only(q['hostname']) as string);
  for (const name of ['description', 'display_description']) if (has(name)) pattern(query, `coalesce(s.description, '')`, only(q[name]) as string);
  for (const [name, column] of [['host', 's.host'], ['node', 's.node'], ['reservation_id', 's.reservation_id'], ['image', 's.image_id'], ['image_ref', 's.image_id'], ['key_name', 's.key_name'], ['availability_zone', 's.availability_zone'], ['user_id', 's.user_id'], ['vm_state', 's.vm_state'], ['task_state', 's.task_state'], ['locked_by', 's.locked_by'], ['root_device_name', 's.root_device_name']] as const) equal(name, column);
  if (has('flavor')) query.whereRaw(`s.flavor ->> 'id' = ?`, [only(q['flavor']) as string]);
  if (has('uuid')) { const ids = list(q['uuid']).filter(isUuidLike).map(normal); if (ids.length === 0) return true; query.whereIn('s.id', ids); }
  for (const [name, column] of [['progress', 's.progress'], ['launch_index', 's.launch_index']] as const) if (has(name)) { const n = Number(only(q[name])); if (!Number.isInteger(n) || Math.abs(n) > 0x7fffffff) return true; query.where(column, n); }
  if (has('power_state')) query.whereIn('s.power_state', list(q['power_state']).flatMap(p => powerNames[p] ?? []));
  if (has('config_drive')) query.where('s.config_drive', parseBool(only(q['config_drive'])) ?? false);
  if (ctx.dialect.has('locked filter') && q['locked'] !== undefined) { const b = parseBool(only(q['locked'])); if (b === undefined) throw new BadRequest(`Unrecognized value '${only(q['locked'])}', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'`); if (b) query.whereNotNull('s.locked_by'); else query.whereNull('s.locked_by'); }
  if (ctx.dialect.has('tag filters')) {
    const tags = (name: string) => list(q[name]).flatMap(t => t.split(','));
    if (q['tags'] !== undefined) query.whereRaw('s.tags @> ?::text[]', [tags('tags')]);
    if (q['tags-any'] !== undefined) query.whereRaw('s.tags && ?::text[]', [tags('tags-any')]);
    if (q['not-tags'] !== undefined) query.whereRaw('not s.tags @> ?::text[]', [tags('not-tags')]);
    if (q['not-tags-any'] !== undefined) query.whereRaw('not s.tags && ?::text[]', [tags('not-tags-any')]);
  }
  for (const name of ['ip', 'ip6'] as const) if (has(name)) {
    const text = only(q[name]) as string;
    query.whereExists(w => { w.select(w.client.raw('1')).from('server_ports as sp').join('ip_allocations as a', 'a.port_id', 'sp.port_id').whereRaw('sp.server_id = s.id'); if (/^[0-9a-f.:]+$/i.test(text)) w.whereRaw('position(? in host(a.ip)) > 0', [text]); else if (/^[\^$0-9a-f.:*+?\\[\]|()-]{1,100}$/i.test(text)) w.whereRaw('host(a.ip) ~ ?', [text]); else w.whereRaw('false'); });
  }
  for (const name of ['created_at', 'launched_at', 'terminated_at'] as const) if (has(name)) { const at = parseTime(only(q[name]) as string); if (!at) return true; query.where(`s.${name}`, at); }
  if (has('metadata')) { try { query.whereRaw('s.metadata @> ?::jsonb', [JSON.stringify(JSON.parse(only(q['metadata']) as string))]); } catch { return true; } }
  return false;
}
function sorting(q: ListQueryOut): Sort[] {
  const given = q['sort_key'];
  const sorts = parseSort({ sort_key: given, sort_dir: q['sort_dir'] }, Object.keys(sortable), [{ key: 'created_at', dir: 'desc' }], key => new BadRequest(`Invalid input for query parameters sort_key. Value: ${key}. '${key}' is not one of the sort keys`));
  return sorts.some(s => s.key === 'uuid') ? sorts.filter(s => s.key !== 'id') : sorts.some(s => s.key === 'created_at') ? sorts : [...sorts.slice(0, -1), { key: 'created_at', dir: 'desc' }, sorts.at(-1) as Sort];
}
