import type { Knex } from 'knex';

/** What the last failed verification of a backup found stays readable after a later one has passed. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('alter table volume_backups add column last_problem text, add column last_problem_at timestamptz(3)');
  await knex.raw('update volume_backups set last_problem = verify_problem, last_problem_at = verified_at where verify_problem is not null');
}
