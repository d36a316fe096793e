import type { Knex } from 'knex';

/** What administrators note about neutron's agents. The agents themselves are a view of the workers: their ids are made of host and kind. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw('create table network_agent_descriptions (agent_id uuid primary key, description text not null)');
}
