import type { Knex } from 'knex';

/** Flavors of network services and the profiles that they choose from: names for what an administrator offers. Agents that an administrator takes out of use. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table network_flavors (id uuid primary key, name text not null default '', description text, service_type text not null, enabled boolean not null default true)`);
  await knex.raw(`create table service_profiles (id uuid primary key, description text, driver text not null default '', metainfo text not null default '', enabled boolean not null default true)`);
  await knex.raw(`create table flavor_service_profiles (flavor_id uuid not null references network_flavors (id) on delete cascade, service_profile_id uuid not null constraint flavor_service_profiles_profile references service_profiles (id),
    primary key (flavor_id, service_profile_id))`);
  await knex.raw('create index flavor_service_profiles_of_profile on flavor_service_profiles (service_profile_id)');
  await knex.raw('alter table network_agent_descriptions alter column description drop not null, add column admin_state_up boolean not null default true');
}
