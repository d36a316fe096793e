import type { Context } from '@cumulet/http';
import { BadRequest, isUuid, own, parseBool, parseTime } from '@cumulet/wire';
import type { Knex } from 'knex';
import { invalidInput } from '../faults.ts';
import { dictionary } from '../shapes.ts';

/** Sort keys of the wire and their columns. */
export const sortColumns: Readonly<Record<string, string>> = {
  id: 'id', name: 'name', status: 'status', size: 'size', availability_zone: 'availability_zone', created_at: 'created_at', updated_at: 'updated_at', bootable: 'bootable', host: 'host', user_id: 'user_id',
  project_id: 'project_id', volume_type_id: 'type_id', source_volid: 'source_volid', snapshot_id: 'snapshot_id', description: 'description', launched_at: 'launched_at', multiattach: 'multiattach', migration_status: 'migration_status', group_id: 'group_id',
};
const columns: Readonly<Record<string, string>> = {
  id: 'id', name: 'name', display_name: 'name', status: 'status', availability_zone: 'availability_zone', host: 'host', user_id: 'user_id', project_id: 'project_id', tenant_id: 'project_id', volume_type_id: 'type_id', source_volid: 'source_volid',
  snapshot_id: 'snapshot_id', migration_status: 'migration_status', group_id: 'group_id', consistencygroup_id: 'group_id', size: 'size', description: 'description',
};
const uuids = new Set(['id', 'type_id', 'source_volid', 'snapshot_id', 'group_id']);
/** What a project's user may filter by: upstream's resource_filters.json. */
export const userFilters = ['name', 'status', 'metadata', 'bootable', 'migration_status', 'availability_zone', 'group_id', 'size', 'created_at', 'updated_at', 'consumes_quota', 'glance_metadata'];
const operators = { gt: '>', gte: '>=', eq: '=', neq: '<>', lt: '<', lte: '<=' } as const;

/** The filters of a resource that a caller may use; below 3.31 the others are dropped, from there on refused. Administrators may use all. */
export function allowedFilters(ctx: Pick<Context, 'allows' | 'dialect'>, filters: Readonly<Record<string, string>>, allowed: readonly string[]): Record<string, string> {
  if (ctx.allows('context_is_admin')) return { ...filters };
  const bad = Object.keys(filters).filter(key => !allowed.includes(ctx.dialect.has('like filters') ? key.replace(/~$/, '') : key));
  if (bad.length > 0 && ctx.dialect.has('strict filters')) throw invalidInput(`Invalid filters ${bad.join(',')} are found in query options.`);
  return Object.fromEntries(Object.entries(filters).filter(([key]) => !bad.includes(key)));
}

/** Narrows a query over `volumes`. A filter that nothing can match gives nothing, as upstream does. */
export function applyFilters(ctx: Pick<Context, 'allows' | 'dialect'>, query: Knex.QueryBuilder, filters: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(allowedFilters(ctx, filters, userFilters))) {
    const like = key.endsWith('~') && ctx.dialect.has('like filters');
    const name = like ? key.slice(0, -1) : key;
    switch (name) {
      case 'force': case 'usage': case 'cascade': break;
      case 'metadata': case 'glance_metadata': {
        if (name === 'glance_metadata' && !ctx.dialect.has('glance_metadata filter')) break;
        const wanted = dictionary(value);
        if (!wanted) throw new BadRequest(`Invalid filter: ${name}`);
        query.whereRaw(`volumes.${name === 'metadata' ? 'metadata' : 'image_metadata'} @> ?::jsonb`, [JSON.stringify(wanted)]);
        break;
      }
      case 'bootable': case 'multiattach': case 'consumes_quota': {
        // Below 3.2 a value that is no boolean counted as true.
        const flag = parseBool(value) ?? (name === 'bootable' && !ctx.dialect.has('bootable filter has values') ? true : undefined);
        if (flag === undefined) throw invalidInput(`${name}=${value}`);
        query.where(`volumes.${name}`, flag);
        break;
      }
      case 'created_at': case 'updated_at': timeFilter(ctx, query, `volumes.${name}`, value); break;
      case 'attach_status': query[value === 'attached' ? 'whereExists' : 'whereNotExists'](q => { void q.from('volume_attachments as fa').whereRaw('fa.volume_id = volumes.id').where('fa.status', 'attached'); }); break;
      case 'no_migration_targets': break;
      case 'volume_type': query.where('volume_types.name', value); break;
      default: byColumn(query, name, value, like);
    }
  }
}
function byColumn(query: Knex.QueryBuilder, name: string, value: string, like: boolean): void {
  const column = own(columns, name);
  if (column === undefined) { query.whereRaw('false'); return; }
  const full = `volumes.${column}`;
  if (uuids.has(column)) { if (isUuid(value)) query.where(full, value); else query.whereRaw('false'); }
  else if (column === 'size') bySize(query, full, value);
  else if (like) query.whereILike(full, `%${value.replaceAll(/[\\%_]/g, c => `\\${c}`)}%`);
  else if (column === 'status') query.whereIn(full, [value, `forced:${value}`]);
  else if (column === 'host' && !value.includes('#')) query.where(q => { void q.where(full, value).orWhereLike(full, `${value}#%`).orWhereLike(full, `${value}@%`); });
  else query.where(full, value);
}
/** GiB; what is no such number matches nothing. */
export function bySize(query: Knex.QueryBuilder, column: string, value: string): void {
  if (/^\d{1,9}$/.test(value)) query.where(column, Number(value)); else query.whereRaw('false');
}
/** `gt:2020-01-01,lt:2021-01-01` (3.60). */
export function timeFilter(ctx: Pick<Context, 'dialect'>, query: Knex.QueryBuilder, column: string, value: string): void {
  if (!ctx.dialect.has('time filters')) { query.where(column, parseTime(value) ?? null); return; }
  for (const part of value.split(',')) {
    const [op = '', ...rest] = part.split(':');
    const operator = own<string>(operators, op);
    const at = parseTime(operator ? rest.join(':') : part);
    if (!at) throw invalidInput(`filters has invalid value: ${value}`);
    query.where(column, operator ?? '=', at);
  }
}
