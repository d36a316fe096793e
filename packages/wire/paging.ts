import { z } from 'zod';
import { BadRequest } from './faults.ts';

/** Integers arrive as digits in a query; nova and cinder say so with this pattern. */
export const queryCount = z.string().regex(/^[0-9]*$/).transform(t => (t === '' ? undefined : Number(t)));
/** A query may name a parameter twice; upstream takes the last. */
export const lastOf = (value: unknown): unknown => (Array.isArray(value) ? value.at(-1) : value);

/** What a table has under a name that a caller chose: not what every object has, such as `constructor`. */
export const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined => (Object.hasOwn(table, name) ? table[name] : undefined);

/** `true` for the spellings that oslo's bool_from_string takes; `undefined` when it is none. */
export function parseBool(text: unknown): boolean | undefined {
  if (typeof text === 'boolean') return text;
  if (typeof text === 'object' && text !== null) return undefined;
  const t = String(text).trim().toLowerCase();
  if (['1', 't', 'true', 'on', 'y', 'yes'].includes(t)) return true;
  if (['0', 'f', 'false', 'off', 'n', 'no'].includes(t)) return false;
  return undefined;
}

export interface Sort { readonly key: string; readonly dir: 'asc' | 'desc' }

/** cinder's and glance's `sort=name:asc,size` beside `sort_key`/`sort_dir`; `id` always decides last, so that a page has one order. */
export function parseSort(query: { sort?: string | undefined; sort_key?: string | string[] | undefined; sort_dir?: string | string[] | undefined }, allowed: readonly string[], fallback: readonly Sort[], refuse: (key: string) => Error = key => new BadRequest(`Invalid sort key: ${key}`)): Sort[] {
  const list = (v: string | string[] | undefined) => (v === undefined ? [] : Array.isArray(v) ? v : [v]);
  let sorts: Sort[];
  if (query.sort !== undefined && query.sort !== '') {
    sorts = query.sort.split(',').map(part => { const [key = '', dir = 'desc'] = part.trim().split(':'); return { key, dir: direction(dir) }; });
  } else if (list(query.sort_key).length > 0) {
    const dirs = list(query.sort_dir);
    sorts = list(query.sort_key).map((key, i) => ({ key, dir: direction(dirs[i] ?? dirs.at(-1) ?? 'desc') }));
  } else if (list(query.sort_dir).length > 0) sorts = fallback.map(s => ({ ...s, dir: direction(list(query.sort_dir)[0] as string) }));
  else sorts = [...fallback];
  for (const s of sorts) if (!allowed.includes(s.key)) throw refuse(s.key);
  return sorts.some(s => s.key === 'id') ? sorts : [...sorts, { key: 'id', dir: sorts[0]?.dir ?? 'desc' }];
}
function direction(text: string): 'asc' | 'desc' {
  if (text === 'asc' || text === 'desc') return text;
  throw new BadRequest(`Unknown sort direction, must be 'desc' or 'asc'.`);
}

/** For a query member: the last of several, then the schema: `one(queryCount).optional()`. */
export const one = <S extends z.ZodType>(schema: S) => z.preprocess(lastOf, schema);
