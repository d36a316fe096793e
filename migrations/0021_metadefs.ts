import type { Knex } from 'knex';

/** Metadata definitions: which properties images, flavors and volumes may have, for people and dashboards to choose from. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`create table metadef_namespaces (
    id bigint generated always as identity primary key,
    namespace text not null unique,
    display_name text,
    description text,
    visibility text not null default 'private' check (visibility in ('public', 'private')),
    protected boolean not null default false,
    owner text not null,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now()
  )`);
  await knex.raw('create index metadef_namespaces_created on metadef_namespaces (created_at, id)');
  await knex.raw(`create table metadef_items (
    namespace_id bigint not null references metadef_namespaces (id) on delete cascade,
    kind text not null check (kind in ('object', 'property', 'tag')),
    name text not null,
    -- What the caller gave besides the name
    definition jsonb not null default '{}',
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    primary key (namespace_id, kind, name)
  )`);
  await knex.raw(`create table metadef_resource_types (name text primary key, created_at timestamptz(3) not null default now(), updated_at timestamptz(3) not null default now())`);
  await knex.raw(`create table metadef_associations (
    namespace_id bigint not null references metadef_namespaces (id) on delete cascade,
    resource_type text not null references metadef_resource_types (name),
    prefix text,
    properties_target text,
    created_at timestamptz(3) not null default now(),
    updated_at timestamptz(3) not null default now(),
    primary key (namespace_id, resource_type)
  )`);
  // glance's own kinds of resource; others come with the namespaces that name them.
  await knex('metadef_resource_types').insert(['OS::Glance::Image', 'OS::Cinder::Volume', 'OS::Nova::Server', 'OS::Nova::Aggregate', 'OS::Nova::Flavor'].map(name => ({ name })));
}
