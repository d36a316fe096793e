import type { Knex } from 'knex';

export interface SortColumn {
  /** Qualified where needed: `volumes.created_at`. */
  readonly column: string;
  readonly dir: 'asc' | 'desc';
  /** Marker's value in that column. */
  readonly after?: unknown;
}

/**
 * Orders a query and starts it after a marker row, without offsets: the cost of a page does not grow with the table.
 * NULL sorts as the smallest value, as in upstream's database. The last column must be unique. Give `after` on every column, or on none.
 */
export function keyset(query: Knex.QueryBuilder, sorts: readonly SortColumn[], limit: number | undefined): Knex.QueryBuilder {
  for (const s of sorts) query.orderBy(s.column, s.dir, s.dir === 'asc' ? 'first' : 'last');
  if (limit !== undefined) query.limit(limit);
  if (sorts.every(s => s.after === undefined)) return query;
  const uniform = sorts.every(s => s.dir === sorts[0]?.dir && s.after !== null && s.after !== undefined);
  if (uniform) {
    // The row comparison walks the index; a disjunction of columns would not. NULLs of the columns come beside it.
    const [first] = sorts as [SortColumn];
    const names = sorts.map(() => '??').join(', ');
    const values = sorts.map(() => '?').join(', ');
    return query.where(q => {
      q.whereRaw(`(${names}) ${first.dir === 'asc' ? '>' : '<'} (${values})`, [...sorts.map(s => s.column), ...sorts.map(s => s.after as Knex.RawBinding)]);
      if (first.dir === 'desc' && sorts.length > 1) q.orWhereNull(first.column);
    });
  }
  return query.where(any => {
    sorts.forEach((s, i) => {
      any.orWhere(all => {
        for (const equal of sorts.slice(0, i)) all.whereRaw('?? is not distinct from ?', [equal.column, equal.after as Knex.RawBinding]);
        beyond(all, s);
      });
    });
  });
}
function beyond(q: Knex.QueryBuilder, s: SortColumn): void {
  if (s.after === null || s.after === undefined) { if (s.dir === 'asc') q.whereNotNull(s.column); else q.whereRaw('false'); }
  else if (s.dir === 'asc') q.where(s.column, '>', s.after as Knex.Value);
  else q.where(inner => inner.where(s.column, '<', s.after as Knex.Value).orWhereNull(s.column));
}
