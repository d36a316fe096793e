import type { Knex } from 'knex';

/** Everything of the identity service. A domain is a project that acts as one, as in keystone. */
export async function up(knex: Knex): Promise<void> {
  // Owned by packages/auth: every service reads these two, identity writes them.
  await knex.raw(`create table revocations (
    position bigint generated always as identity primary key,
    kind text not null check (kind in ('revoked', 'roles')),
    audit_id text, audit_chain_id text, trust_id text, app_cred_id text, user_id text, project_id text, domain_id text,
    revoked_at timestamptz not null default now(),
    expires_at timestamptz not null
  )`);
  await knex.raw(`create index revocations_expiry on revocations (expires_at)`);
  await knex.raw(`create table token_keys (
    id text primary key,
    -- Sealed with the key of the state folder
    secret bytea not null,
    state text not null check (state in ('staged', 'primary', 'secondary')),
    created_at timestamptz not null default now(),
    promoted_at timestamptz,
    retired_at timestamptz
  )`);
  await knex.raw(`create unique index token_keys_one_signs on token_keys (state) where state in ('staged', 'primary')`);

  await knex.raw(`create table projects (
    id text primary key,
    name text not null,
    -- Null for a domain
    domain_id text references projects (id) on delete cascade,
    -- The domain itself for the topmost projects, null for a domain
    parent_id text references projects (id) on delete cascade,
    is_domain boolean not null default false,
    enabled boolean not null default true,
    description text not null default '',
    tags text[] not null default '{}',
    options jsonb not null default '{}',
    extra jsonb not null default '{}',
    created_at timestamptz not null default now(),
    check (is_domain = (domain_id is null)),
    check (is_domain = (parent_id is null))
  )`);
  await knex.raw(`create unique index projects_name on projects (domain_id, name) where not is_domain`);
  await knex.raw(`create unique index domains_name on projects (name) where is_domain`);
  await knex.raw(`create index projects_parent on projects (parent_id)`);
  await knex.raw(`create index projects_tags on projects using gin (tags)`);

  await knex.raw(`create table users (
    id text primary key,
    domain_id text not null references projects (id) on delete cascade,
    name text not null,
    enabled boolean not null default true,
    default_project_id text,
    options jsonb not null default '{}',
    extra jsonb not null default '{}',
    created_at timestamptz not null default now(),
    -- For disable_user_account_days_inactive
    last_active_at date,
    failed_logins integer not null default 0,
    failed_login_at timestamptz
  )`);
  await knex.raw(`create unique index users_name on users (domain_id, name)`);
  // The newest is the password; older ones are kept as long as the history is to be unique.
  await knex.raw(`create table passwords (
    id bigint generated always as identity primary key,
    user_id text not null references users (id) on delete cascade,
    hash text not null,
    -- Set by the user, not by an administrator
    self_service boolean not null default false,
    created_at timestamptz not null default now(),
    expires_at timestamptz
  )`);
  await knex.raw(`create index passwords_user on passwords (user_id, id desc)`);
  await knex.raw(`create table groups (
    id text primary key,
    domain_id text not null references projects (id) on delete cascade,
    name text not null,
    description text not null default '',
    extra jsonb not null default '{}'
  )`);
  await knex.raw(`create unique index groups_name on groups (domain_id, name)`);
  await knex.raw(`create table group_members (
    group_id text not null references groups (id) on delete cascade,
    user_id text not null references users (id) on delete cascade,
    primary key (group_id, user_id)
  )`);
  await knex.raw(`create index group_members_user on group_members (user_id)`);

  await knex.raw(`create table roles (
    id text primary key,
    name text not null,
    -- Set for a domain-specific role: it never appears in a token, it only implies others
    domain_id text references projects (id) on delete cascade,
    description text,
    options jsonb not null default '{}',
    extra jsonb not null default '{}'
  )`);
  await knex.raw(`create unique index roles_name on roles (name, domain_id) nulls not distinct`);
  await knex.raw(`create table implied_roles (
    prior_role_id text not null references roles (id) on delete cascade,
    implied_role_id text not null references roles (id) on delete cascade,
    primary key (prior_role_id, implied_role_id),
    check (prior_role_id <> implied_role_id)
  )`);
  await knex.raw(`create table role_assignments (
    role_id text not null references roles (id) on delete cascade,
    user_id text references users (id) on delete cascade,
    group_id text references groups (id) on delete cascade,
    project_id text references projects (id) on delete cascade,
    domain_id text references projects (id) on delete cascade,
    on_system boolean not null default false,
    -- To the projects below, not to the target itself
    inherited boolean not null default false,
    check (num_nonnulls(user_id, group_id) = 1),
    check (num_nonnulls(project_id, domain_id) + on_system::integer = 1),
    check (not (on_system and inherited)),
    constraint role_assignments_once unique nulls not distinct (user_id, group_id, project_id, domain_id, on_system, role_id, inherited)
  )`);
  await knex.raw(`create index role_assignments_group on role_assignments (group_id) where group_id is not null`);
  await knex.raw(`create index role_assignments_project on role_assignments (project_id) where project_id is not null`);
  await knex.raw(`create index role_assignments_domain on role_assignments (domain_id) where domain_id is not null`);
  await knex.raw(`create index role_assignments_role on role_assignments (role_id)`);

  await knex.raw(`create table regions (
    id text primary key,
    description text not null default '',
    parent_region_id text references regions (id),
    extra jsonb not null default '{}'
  )`);
  await knex.raw(`create table services (
    id text primary key,
    type text not null,
    enabled boolean not null default true,
    -- name, description and what else the caller gave, as keystone keeps them
    extra jsonb not null default '{}',
    name text generated always as (extra ->> 'name') stored,
    created_at timestamptz not null default now()
  )`);
  await knex.raw(`create table endpoints (
    id text primary key,
    service_id text not null references services (id) on delete cascade,
    interface text not null check (interface in ('admin', 'internal', 'public')),
    region_id text references regions (id),
    url text not null,
    enabled boolean not null default true,
    extra jsonb not null default '{}',
    created_at timestamptz not null default now()
  )`);
  await knex.raw(`create index endpoints_service on endpoints (service_id)`);
  await knex.raw(`create table endpoint_groups (id text primary key, name text not null, description text, filters jsonb not null)`);
  await knex.raw(`create table project_endpoints (
    project_id text not null references projects (id) on delete cascade,
    endpoint_id text not null references endpoints (id) on delete cascade,
    primary key (project_id, endpoint_id)
  )`);
  await knex.raw(`create table project_endpoint_groups (
    project_id text not null references projects (id) on delete cascade,
    endpoint_group_id text not null references endpoint_groups (id) on delete cascade,
    primary key (project_id, endpoint_group_id)
  )`);

  // Processes keep the catalogue in memory; a change of it is heard by all.
  await knex.raw(`create function tell_catalog() returns trigger language plpgsql as $$ begin perform pg_notify('cumulet_catalog', ''); return null; end $$`);
  for (const table of ['regions', 'services', 'endpoints', 'endpoint_groups', 'project_endpoints', 'project_endpoint_groups']) {
    await knex.raw(`create trigger tell_catalog after insert or update or delete on ${table} for each statement execute function tell_catalog()`);
  }

  await knex.raw(`create table credentials (
    id text primary key,
    user_id text not null,
    project_id text,
    type text not null,
    -- Sealed; the context is the id
    blob bytea not null,
    extra jsonb not null default '{}',
    created_at timestamptz not null default now()
  )`);
  await knex.raw(`create index credentials_user on credentials (user_id, type)`);
  await knex.raw(`create index credentials_project on credentials (project_id)`);

  await knex.raw(`create table trusts (
    id text primary key,
    trustor_user_id text not null references users (id) on delete cascade,
    trustee_user_id text not null references users (id) on delete cascade,
    project_id text references projects (id) on delete cascade,
    impersonation boolean not null,
    expires_at timestamptz,
    remaining_uses integer check (remaining_uses >= 0),
    redelegated_trust_id text references trusts (id) on delete cascade,
    redelegation_count integer not null default 0,
    deleted_at timestamptz,
    extra jsonb not null default '{}',
    created_at timestamptz not null default now()
  )`);
  await knex.raw(`create index trusts_trustor on trusts (trustor_user_id)`);
  await knex.raw(`create index trusts_trustee on trusts (trustee_user_id)`);
  await knex.raw(`create table trust_roles (
    trust_id text not null references trusts (id) on delete cascade,
    role_id text not null references roles (id) on delete cascade,
    primary key (trust_id, role_id)
  )`);

  await knex.raw(`create table application_credentials (
    id text primary key,
    user_id text not null references users (id) on delete cascade,
    project_id text not null references projects (id) on delete cascade,
    name text not null,
    description text,
    secret_hash text not null,
    unrestricted boolean not null default false,
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    constraint application_credentials_name unique (user_id, name)
  )`);
  await knex.raw(`create table application_credential_roles (
    application_credential_id text not null references application_credentials (id) on delete cascade,
    role_id text not null references roles (id) on delete cascade,
    primary key (application_credential_id, role_id)
  )`);
  await knex.raw(`create table access_rules (
    id text primary key,
    user_id text not null references users (id) on delete cascade,
    service text not null,
    method text not null,
    path text not null,
    constraint access_rules_once unique (user_id, service, method, path)
  )`);
  await knex.raw(`create table application_credential_access_rules (
    application_credential_id text not null references application_credentials (id) on delete cascade,
    access_rule_id text not null references access_rules (id),
    primary key (application_credential_id, access_rule_id)
  )`);

  await knex.raw(`create table registered_limits (
    id text primary key,
    service_id text not null references services (id),
    region_id text references regions (id),
    resource_name text not null,
    default_limit integer not null,
    description text,
    constraint registered_limits_once unique nulls not distinct (service_id, region_id, resource_name)
  )`);
  await knex.raw(`create table limits (
    id text primary key,
    registered_limit_id text not null references registered_limits (id),
    project_id text references projects (id) on delete cascade,
    domain_id text references projects (id) on delete cascade,
    resource_limit integer not null,
    description text,
    check (num_nonnulls(project_id, domain_id) = 1),
    constraint limits_once unique nulls not distinct (project_id, domain_id, registered_limit_id)
  )`);

  await knex.raw(`create table policies (id text primary key, type text not null, blob jsonb not null, extra jsonb not null default '{}')`);
  await knex.raw(`create table policy_associations (
    policy_id text not null references policies (id) on delete cascade,
    endpoint_id text references endpoints (id) on delete cascade,
    service_id text references services (id) on delete cascade,
    region_id text references regions (id) on delete cascade,
    constraint policy_associations_once unique nulls not distinct (endpoint_id, service_id, region_id)
  )`);
  await knex.raw(`create table domain_configs (
    domain_id text not null references projects (id) on delete cascade,
    "group" text not null,
    option text not null,
    value jsonb not null,
    primary key (domain_id, "group", option)
  )`);
}
