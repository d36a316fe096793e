import { keyset, type SortColumn, type Trx } from '@cumulet/db';
import { projectInPath, type Context } from '@cumulet/http';
import { BadRequest, isUuid, lastOf, parseBool, parseSort, type Sort } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import { invalidInput } from './faults.ts';

/** Lists read their query by hand: upstream passes every unknown parameter on as a filter. */
export const anyQuery = z.record(z.string(), z.unknown());
export type Query = Readonly<Record<string, unknown>>;

/** The project that links name: the one of the path, or the token's (3.67). */
export const linkProject = (ctx: Pick<Context, 'request' | 'caller'>): string => projectInPath(ctx.request) ?? ctx.caller.projectId ?? '';
export const links = (ctx: Pick<Context, 'request' | 'caller' | 'baseUrl'>, collection: string, id: string) => [
  { rel: 'self', href: `${ctx.baseUrl}/v3/${linkProject(ctx)}/${collection}/${id}` },
  { rel: 'bookmark', href: `${ctx.baseUrl}/${linkProject(ctx)}/${collection}/${id}` },
];
/** `created_at` in cinder's form is needed nowhere but in views. */
export interface Page {
  readonly limit: number;
  readonly offset: number;
  readonly marker: string | undefined;
  readonly sorts: readonly Sort[];
  readonly filters: Readonly<Record<string, string>>;
  readonly allTenants: boolean;
  readonly withCount: boolean;
}
export interface Listable {
  /** Sort keys of the wire and their columns. */
  readonly columns: Readonly<Record<string, string>>;
  readonly maxLimit: number;
  readonly defaultSort?: readonly Sort[];
}
const integer = (text: unknown, name: string): number | undefined => {
  const value = lastOf(text);
  if (value === undefined || value === '') return undefined;
  if (!/^-?\d+$/.test(String(value))) throw new BadRequest(`${name} param must be an integer`);
  const n = Number(value);
  if (n < 0) throw new BadRequest(`${name} param must be positive`);
  return n;
};

/** limit, offset, marker, sort, all_tenants and with_count; what remains is filters. */
export function readPage(ctx: Pick<Context, 'allows' | 'dialect'>, query: Query, of: Listable): Page {
  const { limit, offset, marker, sort, sort_key, sort_dir, all_tenants, with_count, ...rest } = query;
  const filters: Record<string, string> = {};
  for (const [key, value] of Object.entries(rest)) filters[key] = String(lastOf(value));
  const asked = integer(limit, 'limit');
  const skip = integer(offset, 'offset') ?? 0;
  if (skip > 2_147_483_647) throw invalidInput('offset must be <= 2147483647');
  const fallback = of.defaultSort ?? [{ key: 'created_at', dir: 'desc' as const }];
  if (lastOf(sort) !== undefined && (sort_key !== undefined || sort_dir !== undefined)) throw new BadRequest('The "sort_key" and "sort_dir" parameters are deprecated and cannot be used with the "sort" parameter.');
  const renamed = (key: string) => (key === 'display_name' ? 'name' : key);
  const sorts = parseSort({
    sort: lastOf(sort) as string | undefined, sort_key: sort_key as string | undefined, sort_dir: sort_dir as string | undefined,
  }, [...Object.keys(of.columns), 'display_name'], fallback, () => invalidInput('Invalid sort key')).map(s => ({ ...s, key: renamed(s.key) }));
  const allText = lastOf(all_tenants);
  const all = allText === undefined ? false : parseBool(allText);
  if (all === undefined) throw new BadRequest(`all_tenants param must be a boolean`);
  return {
    limit: Math.min(asked ?? of.maxLimit, of.maxLimit), offset: skip, marker: lastOf(marker) as string | undefined, sorts, filters, allTenants: all && ctx.allows('context_is_admin'),
    withCount: with_count === undefined ? false : truth(with_count),
  };
}
function truth(text: unknown): boolean {
  const value = parseBool(lastOf(text));
  if (value === undefined) throw invalidInput(`Key with_count's value '${String(lastOf(text))}' is not a boolean`);
  return value;
}

/** Puts order, start and limit on a query over `table`. The marker is a row's id; one that is not there is the given 404. */
export async function paged(trx: Trx, query: Knex.QueryBuilder, page: Pick<Page, 'sorts' | 'marker' | 'limit' | 'offset'>, table: string, of: Listable, absent: (id: string) => Error): Promise<Knex.QueryBuilder> {
  const columns = page.sorts.map(s => ({ column: `${table}.${of.columns[s.key] ?? s.key}`, dir: s.dir, name: of.columns[s.key] ?? s.key }));
  let sorts: SortColumn[] = columns.map(({ column, dir }) => ({ column, dir }));
  if (page.marker !== undefined) {
    const row = isUuid(page.marker) ? await trx(table).where({ id: page.marker }).first(columns.map(c => c.name)) as Record<string, unknown> | undefined : undefined;
    if (!row) throw absent(page.marker);
    sorts = columns.map(({ column, dir, name }) => ({ column, dir, after: row[name] ?? null }));
  }
  if (page.offset > 0) query.offset(page.offset);
  return keyset(query, sorts, page.limit);
}

/** The `next` link, when the page is full. */
export function nextLink(ctx: Pick<Context, 'baseUrl' | 'path' | 'search'>, name: string, page: Pick<Page, 'limit'>, rows: readonly { id: string }[]): Record<string, unknown> {
  const last = rows.at(-1);
  if (!last || page.limit === 0 || rows.length < page.limit) return {};
  const search = new URLSearchParams(ctx.search);
  search.set('marker', last.id);
  search.delete('offset');
  return { [`${name}_links`]: [{ rel: 'next', href: `${ctx.baseUrl}${ctx.path}?${search.toString()}` }] };
}
