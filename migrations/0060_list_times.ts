import type { Knex } from 'knex';

/**
 * A page starts after the times of a marker row, and those pass through JavaScript, which knows milliseconds: with microseconds in the columns
 * a page could leave rows out. Times that schedule work (leases, run_after) keep theirs.
 */
export async function up(knex: Knex): Promise<void> {
  const { rows } = await knex.raw(`select table_name, column_name from information_schema.columns c join information_schema.tables t using (table_schema, table_name)
    where table_schema = 'public' and t.table_type = 'BASE TABLE' and data_type = 'timestamp with time zone' and datetime_precision = 6 and column_name in ('created_at', 'updated_at', 'deleted_at', 'launched_at', 'terminated_at')
    and table_name not like 'knex%' order by 1, 2`);
  for (const { table_name: table, column_name: column } of rows as { table_name: string; column_name: string }[]) await knex.raw('alter table ?? alter column ?? type timestamptz(3)', [table, column]);
}
