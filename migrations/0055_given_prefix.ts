import type { Knex } from 'knex';

/** A rule's remote prefix as it was given (`10.2.3.124/24`): neutron shows that, and the network that it stands for as normalized_cidr. Null: the same. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table security_group_rules add column given_prefix text`);
}
