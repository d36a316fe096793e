import type { Knex } from 'knex';

/** What the database holds, in a word for each table; what is written about requests, refused ones too, is left out. */
const diaries = /^(tasks|task_.*|knex_.*|.*_migrations|usage_reports|revocations|revocation_positions)$/;

/** Tells which tables have changed since it was last asked: a request that is refused leaves everything as it was. */
export async function watchRows(db: Knex, apart: readonly string[] = []): Promise<{ changed(): Promise<string[]> }> {
  const { rows } = await db.raw(`select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition`) as { rows: { name: string }[] };
  const tables = rows.map(r => r.name).filter(name => !diaries.test(name) && !apart.includes(name));
  const query = tables.map(name => `select '${name}' as name, (select count(*) || ':' || coalesce(sum(hashtext(t::text)::bigint), 0) from ${name} t) as word`).join(' union all ');
  const look = async () => new Map((await db.raw(query) as { rows: { name: string; word: string }[] }).rows.map(r => [r.name, r.word]));
  let seen = await look();
  return {
    async changed() {
      const now = await look();
      const different = tables.filter(t => now.get(t) !== seen.get(t));
      seen = now;
      return different;
    },
  };
}
