import { keyset, type Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Fault, isUuid, lastOf, NotFound, own, parseBool, shape } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';

/** Neutron's lists are all alike: any attribute filters, `fields` chooses, `sort_key`/`sort_dir`, `limit`/`marker`/`page_reverse` page. */
export const AnyQuery = shape('AnyQuery', z.record(z.string(), z.union([z.string(), z.array(z.string())])));
export type Query = z.output<typeof AnyQuery.newest>;

export interface Column { readonly sql: string; readonly kind: 'text' | 'bool' | 'int' | 'uuid' | 'tags' | 'address'; readonly sorts?: boolean }
export interface Collection<R extends { id: string }> {
  /** As paths and fault kinds say it: `network`, `networks`, `NetworkNotFound`. */
  readonly name: string;
  readonly plural: string;
  readonly fault: string;
  /** What neutron says of one that is not there, where it is not `FAULT ID could not be found.` of kind `FAULTNotFound`. */
  readonly absent?: { text?(id: string): string; readonly kind: string };
  /** All columns and sub-rows of one resource, from `t`; `project` is who looks: `shared` is what it is to them. */
  select(trx: Trx, project?: string): Knex.QueryBuilder;
  readonly columns: Readonly<Record<string, Column>>;
  /** Filters that are no plain column. */
  readonly filters?: Readonly<Record<string, (query: Knex.QueryBuilder, values: readonly string[]) => void>>;
  /** Restricts to what the caller may see; admins see all. */
  visible(query: Knex.QueryBuilder, ctx: Context): void;
  view(row: R): Record<string, unknown>;
  /** Members of the view that have rules of their own (`get_port:binding:host_id`): left out for whom they refuse. */
  readonly guarded?: readonly string[];
  /** What the rules of policy may look at. */
  target(row: R): Record<string, unknown>;
}

export const text = (sql: string): Column => ({ sql, kind: 'text', sorts: true });
export const bool = (sql: string): Column => ({ sql, kind: 'bool', sorts: true });
export const int = (sql: string): Column => ({ sql, kind: 'int', sorts: true });
export const id = (sql: string): Column => ({ sql, kind: 'uuid', sorts: true });
export const address = (sql: string): Column => ({ sql, kind: 'address', sorts: true });
export const commonColumns = { id: id('t.id'), project_id: text('t.project_id'), tenant_id: text('t.project_id'), name: text('t.name'), description: text('t.description'), revision_number: int('t.revision_number') } as const;

const many = (value: string | string[] | undefined): string[] => (value === undefined ? [] : [value].flat());
const isAdmin = (ctx: Context) => ctx.allows('context_is_admin');

export async function list<R extends { id: string }>(trx: Trx, ctx: Context<unknown, Query>, of: Collection<R>, maxLimit: number): Promise<Record<string, unknown>> {
  const q = ctx.query;
  const query = of.select(trx, ctx.caller.projectId);
  if (!isAdmin(ctx as Context)) of.visible(query, ctx as Context);
  for (const [key, raw] of Object.entries(q)) if (!reserved.has(key)) filter(query, of, key, many(raw));

  const limit = limitOf(q['limit'], maxLimit);
  const reverse = parseBool(lastOf(q['page_reverse']) ?? false) ?? false;
  const dirs = many(q['sort_dir']);
  const keys = many(q['sort_key']);
  if (dirs.length > 0 && keys.length !== dirs.length) throw new BadRequest('The number of sort_keys and sort_dirs must be same');
  const sorts = keys.map((key, i) => {
    const column = own(of.columns, key);
    if (!column?.sorts) throw new BadRequest(`[${JSON.stringify(key)}] is invalid attribute for sort_keys`);
    const dir = dirs[i] ?? 'asc';
    if (dir !== 'asc' && dir !== 'desc') throw new BadRequest(`${key} is invalid value for sort_dirs, valid value is 'asc' and 'desc'`);
    return { key, column: column.sql, dir } as const;
  });
  if (!sorts.some(s => s.key === 'id')) sorts.push({ key: 'id', column: 't.id', dir: 'asc' });
  const marker = lastOf(q['marker']) as string | undefined;
  const after = marker === undefined ? undefined : await sortValues(trx, of, sorts.map(s => s.column), marker);
  // As neutron: a full page names the next one, which may turn out to be empty; the way back is always named.
  const page: R[] = await keyset(query, sorts.map((s, i) => ({ column: s.column, dir: reverse ? (s.dir === 'asc' ? 'desc' : 'asc') : s.dir, ...(after ? { after: after[`k${i}`] ?? null } : {}) })), limit) as never;
  if (reverse) page.reverse();
  const fields = new Set(many(q['fields']));
  const links = limit === undefined ? [] : pageLinks(ctx, page, { next: reverse || page.length === limit, previous: !reverse || page.length === limit });
  return { [of.plural]: page.map(row => pick(shownTo(ctx as Context, of, row), fields)), ...(links.length > 0 ? { [`${of.plural}_links`]: links } : {}) };
}

const reserved = new Set(['fields', 'sort_key', 'sort_dir', 'limit', 'marker', 'page_reverse']);
const tagFilters = new Set(['tags', 'tags-any', 'not-tags', 'not-tags-any']);

function filter<R extends { id: string }>(query: Knex.QueryBuilder, of: Collection<R>, key: string, values: string[]): void {
  const special = own(of.filters ?? {}, key);
  if (special) return special(query, values);
  if (tagFilters.has(key) && 'tags' in of.columns) {
    const tags = values.flatMap(v => v.split(','));
    const sql = key.endsWith('any') ? 't.tags && ?::text[]' : 't.tags @> ?::text[]';
    query.whereRaw(key.startsWith('not') ? `not (${sql})` : sql, [tags]);
    return;
  }
  const column = own(of.columns, key);
  if (!column) throw new BadRequest(`[${JSON.stringify(key).replaceAll('"', "'")}] is invalid attribute for filtering`);
  switch (column.kind) {
    case 'bool': {
      const wanted = values.map(v => { const b = parseBool(v); if (b === undefined) throw new BadRequest(`Invalid input for ${key}. Reason: '${v}' cannot be converted to boolean.`); return b; });
      return void query.whereIn(query.client.raw(column.sql) as never, wanted as never);
    }
    case 'int': return void query.whereRaw(`${column.sql} = any(?::bigint[])`, [values.map(Number).filter(Number.isSafeInteger)]);
    case 'uuid': return void query.whereRaw(`${column.sql} = any(?::uuid[])`, [values.filter(isUuid)]);
    case 'address': return void query.whereRaw(`host(${column.sql}) = any(?::text[])`, [values]);
    default: return void query.whereRaw(`${column.sql} = any(?::text[])`, [values]);
  }
}

async function sortValues<R extends { id: string }>(trx: Trx, of: Collection<R>, columns: readonly string[], marker: string): Promise<Record<string, unknown>> {
  const row = isUuid(marker) ? await of.select(trx).clearSelect().select(columns.map((c, i) => trx.raw(`${c} as k${i}`))).whereRaw('t.id = ?', [marker]).first() : undefined;
  if (!row) throw new BadRequest(`Invalid input for operation: The marker ${marker} could not be found.`);
  return row as Record<string, unknown>;
}

function limitOf(raw: string | string[] | undefined, max: number): number | undefined {
  const given = lastOf(raw) as string | undefined;
  if (given === undefined) return undefined;
  if (!/^\d{1,9}$/.test(given)) throw new BadRequest(`Invalid input for limit. Reason: Limit must be an integer 0 or greater and not '${given}'.`);
  return given === '0' ? undefined : Math.min(Number(given), max);
}

function pageLinks(ctx: Context<unknown, Query>, page: readonly { id: string }[], has: { next: boolean; previous: boolean }): object[] {
  const href = (marker: string | undefined, reverse: boolean) => {
    const params = new URLSearchParams(ctx.search);
    params.delete('marker');
    if (marker !== undefined) params.set('marker', marker);
    if (reverse) params.set('page_reverse', 'True'); else params.delete('page_reverse');
    return `${ctx.baseUrl}${ctx.path}?${params}`;
  };
  return [...(has.next ? [{ rel: 'next', href: href(page.at(-1)?.id, false) }] : []), ...(has.previous ? [{ rel: 'previous', href: href(page[0]?.id, true) }] : [])];
}

/** A resource as the caller may see it. */
export function shownTo<R extends { id: string }>(ctx: Pick<Context, 'allows'>, of: Collection<R>, row: R): Record<string, unknown> {
  const view = of.view(row);
  for (const attribute of of.guarded ?? []) if (!ctx.allows(`get_${of.name}:${attribute}`, of.target(row))) delete view[attribute];
  return view;
}
export function pick(view: Record<string, unknown>, fields: ReadonlySet<string>): Record<string, unknown> {
  return fields.size === 0 ? view : Object.fromEntries(Object.entries(view).filter(([key]) => fields.has(key)));
}
export const fieldsOf = (query: Query): ReadonlySet<string> => new Set(many(query['fields']));

/** One resource, if the caller may see it; else neutron's 404, which says no more for what is hidden than for what is not there. */
export async function find<R extends { id: string }>(trx: Trx, ctx: Context, of: Collection<R>, resourceId: string): Promise<R> {
  let row: R | undefined;
  if (isUuid(resourceId)) {
    const query = of.select(trx, ctx.caller.projectId).whereRaw('t.id = ?', [resourceId]);
    if (!isAdmin(ctx)) of.visible(query, ctx);
    row = await query.first() as R | undefined;
  }
  if (!row) throw missing(of, resourceId);
  checkRevision(ctx, row);
  return row;
}
/** `If-Match: revision_number=N` of a change: it is meant for what the caller has seen, and for nothing later. */
function checkRevision(ctx: Context, row: { id: string; revision_number?: number }): void {
  const wanted = ctx.request.headers['if-match'];
  if (wanted === undefined || row.id !== ctx.params['id'] || (ctx.request.method !== 'PUT' && ctx.request.method !== 'DELETE')) return;
  const revision = /^"?revision_number=(\d+)"?$/.exec(wanted)?.[1];
  if (revision === undefined) throw new BadRequest(`Invalid value for If-Match: ${wanted}.`);
  if (Number(revision) !== row.revision_number) throw new Fault(412, `Constrained to ${revision}, but current revision is ${row.revision_number}`, { kind: 'RevisionNumberConstraintFailed' });
}
/** What this transaction has written, in the order of the ids and as the caller may see it, whether or not it is in the caller's own lists. */
export async function writtenViews<R extends { id: string }>(trx: Trx, ctx: Pick<Context, 'caller' | 'allows'>, of: Collection<R>, ids: readonly string[]): Promise<Record<string, unknown>[]> {
  const rows = await of.select(trx, ctx.caller.projectId).whereIn('t.id', [...ids]).orderByRaw('array_position(?::uuid[], t.id)', [[...ids]]) as R[];
  const gone = ids.find(wanted => !rows.some(row => row.id === wanted));
  if (gone !== undefined) throw missing(of, gone);
  return rows.map(row => shownTo(ctx, of, row));
}
export const writtenView = async <R extends { id: string }>(trx: Trx, ctx: Pick<Context, 'caller' | 'allows'>, of: Collection<R>, resourceId: string): Promise<Record<string, unknown>> => (await writtenViews(trx, ctx, of, [resourceId]))[0] as Record<string, unknown>;
/** The members that a body has: columns of an update. */
export const given = (fields: object): Record<string, unknown> => Object.fromEntries(Object.entries(fields).filter(([, v]) => v !== undefined));
export const missing = (of: { fault: string; absent?: { text?(id: string): string; readonly kind: string } }, resourceId: string): NotFound =>
  new NotFound(of.absent?.text?.(resourceId) ?? `${of.fault} ${resourceId} could not be found.`, { kind: of.absent?.kind ?? `${of.fault.replaceAll(' ', '')}NotFound` });
