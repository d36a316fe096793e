import { keyset } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, lastOf, NotFound, own } from '@cumulet/wire';
import type { Knex } from 'knex';

/** A filter of a list: its column and how its text is read. Text filters also take `name__contains`, `name__istartswith` and so on. */
export type Filter = string | { readonly column: string; readonly as: 'truth' | 'json' };

export interface Listing {
  readonly filters: Readonly<Record<string, Filter>>;
  /** Unique column by which pages go. */
  readonly order: string;
  /** Further columns by which a caller may sort. */
  readonly sorts?: Readonly<Record<string, string>>;
}

/** `0`, `false`, `off` and `no` are false; anything else, nothing included, is true. */
export const truthOf = (text: unknown): boolean => !['0', 'false', 'off', 'no'].includes(String(text).toLowerCase());
/** keystone's flags in a query: present and not `0`. */
export const flag = (query: unknown, name: string): boolean => {
  const value = lastOf((query as Record<string, unknown>)[name]);
  return value !== undefined && value !== '0';
};
export const queryText = (query: unknown, name: string): string | undefined => {
  const value = lastOf((query as Record<string, unknown>)[name]);
  return typeof value === 'string' ? value : undefined;
};

/**
 * Runs a list with the caller's filters and page, and gives its rows and links. Without `limit` everything comes, as in keystone;
 * with it, `next` is set when there is more.
 */
export async function list<R extends object>(ctx: Context, query: Knex.QueryBuilder, o: Listing, defaultMax: number): Promise<{ rows: R[]; links: object; truncated: boolean }> {
  const asked = ctx.query as Record<string, unknown>;
  for (const [key, value] of Object.entries(asked)) applyFilter(query, o.filters, key, value);
  const limit = limitOf(queryText(asked, 'limit'), defaultMax);
  const sortKey = queryText(asked, 'sort_key');
  const dir = queryText(asked, 'sort_dir') === 'desc' ? 'desc' : 'asc';
  const first = sortKey === undefined ? undefined : own(o.sorts ?? {}, sortKey);
  const columns = first === undefined ? [o.order] : [first, o.order];
  const marker = queryText(asked, 'marker');
  const at = marker === undefined ? undefined : await markerRow(query, o.order, columns, marker);
  keyset(query, columns.map((column, i) => ({ column, dir, ...(at ? { after: at[i] } : {}) })), limit === undefined ? undefined : limit + 1);
  const rows: R[] = await query;
  const more = limit !== undefined && rows.length > limit;
  if (more) rows.pop();
  return { rows, links: links(ctx, more ? String((rows.at(-1) as { id?: unknown } | undefined)?.id) : undefined), truncated: more };
}

/** The links of a collection: itself as it was asked for, and the next page. */
export function links(ctx: Context, nextMarker?: string): object {
  const here = `${ctx.baseUrl}${ctx.path.replace(/\/+$/, '')}`;
  const next = new URLSearchParams(ctx.search);
  if (nextMarker !== undefined) next.set('marker', nextMarker);
  return { next: nextMarker === undefined ? null : `${here}?${next.toString()}`, self: ctx.search === '' ? here : `${here}?${ctx.search}`, previous: null };
}
/** The address of one resource. */
export const self = (ctx: Context, path: string): { self: string } => ({ self: `${ctx.baseUrl}/v3/${path}` });

function applyFilter(query: Knex.QueryBuilder, filters: Listing['filters'], key: string, value: unknown): void {
  const [base = '', comparator] = key.split('__', 2);
  const filter = filters[base];
  if (filter === undefined) return;
  for (const text of [value].flat().map(String)) {
    if (typeof filter !== 'string') { if (comparator === undefined && filter.as === 'truth') query.where(filter.column, truthOf(text)); continue; }
    if (comparator === undefined) { query.where(filter, text); continue; }
    const loose = comparator.startsWith('i');
    const like = { contains: `%${escape(text)}%`, startswith: `${escape(text)}%`, endswith: `%${escape(text)}` }[loose ? comparator.slice(1) : comparator];
    if (like !== undefined) query.where(filter, loose ? 'ilike' : 'like', like);
  }
}
const escape = (text: string) => text.replaceAll(/[\\%_]/g, '\\$&');

function limitOf(text: string | undefined, max: number): number | undefined {
  if (text === undefined || text === '') return undefined;
  if (!/^\d+$/.test(text)) throw new BadRequest(`Invalid input for field 'limit': '${text.slice(0, 64)}' is not a number`);
  const asked = Number(text);
  return asked === 0 ? undefined : Math.min(asked, max);
}

async function markerRow(query: Knex.QueryBuilder, order: string, columns: readonly string[], marker: string): Promise<unknown[]> {
  const row: Record<string, unknown> | undefined = await query.clone().clearSelect().clearOrder().where(order, marker).first(Object.fromEntries(columns.map((c, i) => [`k${i}`, c])));
  if (!row) throw new NotFound(`Marker ${marker} could not be found.`);
  return columns.map((_, i) => row[`k${i}`]);
}
