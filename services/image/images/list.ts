import { keyset, type SortColumn, type Trx } from '@cumulet/db';
import { BadRequest, lastOf } from '@cumulet/wire';
import type { Knex } from 'knex';
import { conditions, type Condition } from './filters.ts';
import { findVisible, type ImageRow, type Who } from './store.ts';

export type ListQuery = Readonly<Record<string, string | string[] | undefined>>;
export interface Page { readonly rows: readonly ImageRow[]; readonly next: string | undefined }

const sortKeys = ['name', 'status', 'container_format', 'disk_format', 'size', 'id', 'created_at', 'updated_at'] as const;
const never = new Set(['status', 'id', 'created_at', 'updated_at']);
type Sort = { readonly key: string; readonly dir: 'asc' | 'desc' };

/** `sort=name:asc,size`, or `sort_key`/`sort_dir` in pairs. created_at and id always decide last, so that a page has one order. */
export function sorting(query: ListQuery): Sort[] {
  const key = (text: string): string => {
    if (!(sortKeys as readonly string[]).includes(text)) throw new BadRequest(`Invalid sort key: ${text}. It must be one of the following: ${sortKeys.join(', ')}.`);
    return text;
  };
  const dir = (text: string): 'asc' | 'desc' => {
    if (text !== 'asc' && text !== 'desc') throw new BadRequest(`Invalid sort direction: ${text}`);
    return text;
  };
  let sorts: Sort[];
  const classic = [query['sort_key'] ?? []].flat().map(k => key(k.trim()));
  const dirs = [query['sort_dir'] ?? []].flat().map(d => dir(d.trim()));
  if (query['sort'] !== undefined) {
    if (query['sort_key'] !== undefined || query['sort_dir'] !== undefined) throw new BadRequest('Old and new sorting syntax cannot be combined');
    sorts = String(lastOf(query['sort'])).trim().split(',').map(part => { const [k = '', d] = part.split(':'); return { key: key(k.trim()), dir: dir((d || 'desc').trim()) }; });
  } else {
    if (dirs.length > 1 && dirs.length !== classic.length) throw new BadRequest('Number of sort dirs does not match the number of sort keys');
    const keys = classic.length > 0 ? classic : ['created_at'];
    sorts = keys.map((k, i) => ({ key: k, dir: (dirs.length > 1 ? dirs[i] : dirs[0]) ?? 'desc' }));
  }
  const last = sorts.length === 1 || dirs.length === 1 ? sorts[0]?.dir ?? 'desc' : 'desc';
  for (const k of ['created_at', 'id']) if (!sorts.some(s => s.key === k)) sorts.push({ key: k, dir: last });
  return sorts;
}

/** `limit` as upstream reads it: its default without one, at most `most`. */
export function pageSize(given: string | string[] | undefined, fallback: number, most: number): number {
  if (given === undefined) return Math.min(fallback, most);
  const text = String(lastOf(given));
  if (!/^[+-]?\d+$/.test(text.trim())) throw new BadRequest('limit param must be an integer');
  const limit = Number(text);
  if (limit < 0) throw new BadRequest('limit param must be positive');
  return Math.min(limit, most);
}

/**
 * One page. Each way in which images are visible is one walk along an index and gives at most a page; the page is what comes first of them all.
 * So its cost grows neither with the table nor with what others own.
 */
export async function listImages(trx: Trx, who: Who, query: ListQuery, o: { readonly limit: number }): Promise<Page> {
  const visibility = query['visibility'] === undefined ? undefined : String(lastOf(query['visibility']));
  if (visibility !== undefined && !['community', 'public', 'private', 'shared', 'all'].includes(visibility)) throw new BadRequest(`Invalid visibility value: ${visibility}`);
  const memberStatus = String(lastOf(query['member_status'] ?? 'accepted'));
  if (!['pending', 'accepted', 'rejected', 'all'].includes(memberStatus)) throw new BadRequest(`Invalid status: ${memberStatus}`);
  const filters = conditions(query);
  const sorts = sorting(query);
  const marker = query['marker'] === undefined ? undefined : String(lastOf(query['marker']));
  const after = marker === undefined ? undefined : await findVisible(trx, who, marker);
  if (marker !== undefined && !after) throw new BadRequest(`No image found with ID ${marker}`);
  if (o.limit === 0) return { rows: [], next: undefined };
  const columns: SortColumn[] = sorts.map(s => ({ column: s.key, dir: s.dir, notNull: never.has(s.key), ...(after ? { after: after[s.key as keyof ImageRow] } : {}) }));
  const walk = (...where: Condition[]): Knex.QueryBuilder => {
    const q = trx('images').select('*').whereNot('status', 'pending_delete');
    for (const condition of [...where, ...filters]) q.where(inner => condition(inner));
    return keyset(q, columns, o.limit);
  };
  const walks = branches(trx, who, visibility, memberStatus).map(where => walk(where));
  if (walks.length === 0) return { rows: [], next: undefined };
  const rows: ImageRow[] = walks.length === 1 ? await (walks[0] as Knex.QueryBuilder)
    : await keyset(trx.select('*').from(trx.unionAll(walks as never, true).as('i')), columns.map(({ column, dir }) => ({ column, dir })), o.limit);
  return { rows, next: rows.length === o.limit ? rows.at(-1)?.id : undefined };
}

/** The ways in which images are visible to a caller in a list; no image is in two. Others' community images are listed only when asked for. */
function branches(trx: Trx, who: Who, visibility: string | undefined, memberStatus: string): Condition[] {
  const only = visibility === undefined || visibility === 'all' ? undefined : visibility;
  if (who.isAdmin) {
    if (only !== undefined) return [q => q.where('visibility', only)];
    if (visibility === 'all') return [() => undefined];
    return [q => q.whereNot('visibility', 'community').orWhere('owner', who.projectId ?? '')];
  }
  const project = who.projectId ?? '';
  const others: Condition = q => q.whereRaw('owner is distinct from ?', [project]);
  const found: Condition[] = [];
  if (who.projectId !== undefined) found.push(q => { q.where('owner', project); if (only !== undefined) q.where('visibility', only); });
  if (only === undefined || only === 'public') found.push(q => { others(q); q.where('visibility', 'public'); });
  if (visibility === 'community' || visibility === 'all') found.push(q => { others(q); q.where('visibility', 'community'); });
  if (who.projectId !== undefined && (only === undefined || only === 'shared')) found.push(q => {
    others(q);
    q.where('visibility', 'shared').whereIn('id', trx('image_members').where({ member: project, ...(memberStatus === 'all' ? {} : { status: memberStatus }) }).select('image_id'));
  });
  return found;
}

/** `first` and `next` of a page, from the query as it was given. */
export function links(path: string, search: string, next: string | undefined): { first: string; next?: string } {
  const params = new URLSearchParams(search);
  params.delete('marker');
  const rest = params.toString();
  if (next !== undefined) params.set('marker', next);
  return { first: rest === '' ? path : `${path}?${rest}`, ...(next === undefined ? {} : { next: `${path}?${params}` }) };
}
