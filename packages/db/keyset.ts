import type { Knex } from 'knex';

export interface SortColumn {
  /** An SQL expression, from code and never from a caller: `volumes.created_at`, `p.mac::text`. */
  readonly column: string;
  readonly dir: 'asc' | 'desc';
  /** Marker's value in that column. */
  readonly after?: unknown;
  /** The column holds no NULL: spares the page a condition that an index cannot answer. */
  readonly notNull?: boolean;
}

/**
 * Orders a query and starts it after a marker row, without offsets: the cost of a page does not grow with the table.
 * NULL sorts as the smallest value, as in upstream's database. The last column must be unique. Give `after` on every column, or on none.
 */
export function keyset(query: Knex.QueryBuilder, sorts: readonly SortColumn[], limit: number | undefined): Knex.QueryBuilder {
  for (const s of sorts) query.orderByRaw(`${s.column} ${s.dir} nulls ${s.dir === 'asc' ? 'first' : 'last'}`);
  if (limit !== undefined) query.limit(limit);
  if (sorts.every(s => s.after === undefined)) return query;
  const uniform = sorts.every(s => s.dir === sorts[0]?.dir && s.after !== null && s.after !== undefined);
  if (uniform) {
    // The row comparison walks the index; a disjunction of columns would not. NULLs of the columns come beside it.
    const [first] = sorts as [SortColumn];
    const names = sorts.map(s => s.column).join(', ');
    const values = sorts.map(() => '?').join(', ');
    return query.where(q => {
      q.whereRaw(`(${names}) ${first.dir === 'asc' ? '>' : '<'} (${values})`, sorts.map(s => s.after as Knex.RawBinding));
      if (first.dir === 'desc' && sorts.length > 1 && !first.notNull) q.orWhereRaw(`${first.column} is null`);
    });
  }
  return query.where(any => {
    sorts.forEach((s, i) => {
      any.orWhere(all => {
        for (const equal of sorts.slice(0, i)) all.whereRaw(`${equal.column} is not distinct from ?`, [equal.after as Knex.RawBinding]);
        beyond(all, s);
      });
    });
  });
}
function beyond(q: Knex.QueryBuilder, s: SortColumn): void {
  if (s.after === null || s.after === undefined) { if (s.dir === 'asc') q.whereRaw(`${s.column} is not null`); else q.whereRaw('false'); }
  else if (s.dir === 'asc') q.whereRaw(`${s.column} > ?`, [s.after as Knex.RawBinding]);
  else q.whereRaw(`(${s.column} < ? or ${s.column} is null)`, [s.after as Knex.RawBinding]);
}
