import type { Knex } from 'knex';

/** An application credential shows its access rules in the order in which they were given, as upstream does; those of before get the order of their ids, in which they were shown. */
export async function up(knex: Knex): Promise<void> {
  await knex.raw(`alter table application_credential_access_rules add column position bigint`);
  await knex.raw(`update application_credential_access_rules l set position = o.n
    from (select application_credential_id, access_rule_id, row_number() over (order by application_credential_id, access_rule_id) as n from application_credential_access_rules) o
    where o.application_credential_id = l.application_credential_id and o.access_rule_id = l.access_rule_id`);
  await knex.raw(`create sequence application_credential_access_rules_position owned by application_credential_access_rules.position`);
  await knex.raw(`select setval('application_credential_access_rules_position', (select coalesce(max(position), 0) + 1 from application_credential_access_rules))`);
  await knex.raw(`alter table application_credential_access_rules alter column position set default nextval('application_credential_access_rules_position'), alter column position set not null`);
}
