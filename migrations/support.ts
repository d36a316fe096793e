import type { Knex } from 'knex';

/**
 * Adds `task_id` to a table and makes stuck rows unrepresentable: the transitional statuses, and only these, come with a task, and that task is alive.
 * The reference is to (id, live) of `tasks` and is checked at commit: a task cannot end in a transaction that leaves the row transitional.
 */
export async function heldByTasks(knex: Knex, table: string, o: { column?: string; transitional?: readonly string[]; orWhen?: string }): Promise<void> {
  const column = o.column ?? 'status';
  await knex.raw(`alter table ?? add column task_id uuid, add column task_live boolean generated always as (case when task_id is null then null else true end) stored`, [table]);
  await knex.raw(`alter table ?? add constraint ?? foreign key (task_id, task_live) references tasks (id, live) deferrable initially deferred`, [table, `${table}_live_task`]);
  const busy = o.transitional ? `${column} in (${o.transitional.map(s => `'${s}'`).join(', ')})` : `${column} is not null`;
  await knex.raw(`alter table ?? add constraint ?? check ((${busy}) = (task_id is not null))`, [table, `${table}_never_stuck`]);
  await knex.raw(`create index ?? on ?? (task_id) where task_id is not null`, [`${table}_task`, table]);
}

/** Replaces the set of transitional statuses of a table made with `heldByTasks`. */
export async function transitionalStatuses(knex: Knex, table: string, column: string, transitional: readonly string[]): Promise<void> {
  await knex.raw('alter table ?? drop constraint ??', [table, `${table}_never_stuck`]);
  await knex.raw(`alter table ?? add constraint ?? check ((${column} in (${transitional.map(s => `'${s}'`).join(', ')})) = (task_id is not null))`, [table, `${table}_never_stuck`]);
}

/**
 * Keeps `quota_usage` of a service in step with a table, in the same transaction. `counts` maps a quota's name (an SQL expression over `r`, e.g.
 * `'volumes'` or `'volumes_' || r.type_name`) to how much one row uses (`1`, `r.size`); rows for which `when` is false use nothing.
 */
export async function usageTrigger(knex: Knex, o: { table: string; service: string; project?: string; counts: Readonly<Record<string, string>>; when?: string }): Promise<void> {
  const project = o.project ?? 'r.project_id';
  const entries = Object.entries(o.counts).map(([name, amount]) => `(${name})::text, (${amount})::bigint`).join(', ');
  const fn = `usage_${o.table}_${o.service}`;
  const add = (sign: string) => `if (${o.when ?? 'true'}) then perform add_usage('${o.service}', ${project}, jsonb_build_object(${entries}), ${sign}); end if;`;
  await knex.raw(`create or replace function ${fn}() returns trigger language plpgsql as $fn$
    declare r ${o.table}%rowtype; was jsonb; becomes jsonb; was_of text; now_of text;
    begin
      if tg_op = 'UPDATE' then
        r := old; if (${o.when ?? 'true'}) then was := jsonb_build_object(${entries}); was_of := ${project}; end if;
        r := new; if (${o.when ?? 'true'}) then becomes := jsonb_build_object(${entries}); now_of := ${project}; end if;
        if was is not distinct from becomes and was_of is not distinct from now_of then return null; end if;
      end if;
      if tg_op <> 'INSERT' then r := old; ${add('-1')} end if;
      if tg_op <> 'DELETE' then r := new; ${add('1')} end if;
      return null;
    end $fn$`);
  await knex.raw(`create trigger ${fn} after insert or update or delete on ${o.table} for each row execute function ${fn}()`);
}
