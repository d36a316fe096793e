import type { AccessRule, Caller, TokenFacts } from '@cumulet/auth';
import type { Db, Trx } from '@cumulet/db';

export interface RoleRef { readonly id: string; readonly name: string }
export type Scope = { readonly project: string } | { readonly domain: string } | { readonly system: true };

/** The user's own assignments and those of the user's groups. */
const actor = `(a.user_id = :user or a.group_id in (select group_id from group_members where user_id = :user))`;
/** Roles and all that they imply. Domain-specific roles only imply: they are not in the outcome. */
const implied = `closure (role_id) as (select role_id from held union select i.implied_role_id from closure c join implied_roles i on i.prior_role_id = c.role_id)
  select r.id, r.name from roles r join closure c on c.role_id = r.id where r.domain_id is null order by r.name`;

/** What a user may do somewhere: direct, by groups, inherited from the domain and the projects above, and implied. */
export async function effectiveRoles(trx: Trx, userId: string, scope: Scope): Promise<RoleRef[]> {
  if ('system' in scope) {
    return rowsOf(await trx.raw(`with recursive held as (select a.role_id from role_assignments a where a.on_system and ${actor}), ${implied}`, { user: userId }));
  }
  if ('domain' in scope) {
    return rowsOf(await trx.raw(`with recursive held as (select a.role_id from role_assignments a where a.domain_id = :domain and not a.inherited and ${actor}), ${implied}`, { user: userId, domain: scope.domain }));
  }
  return rowsOf(await trx.raw(`with recursive
    above (id, parent_id) as (select id, parent_id from projects where id = :project union all select p.id, p.parent_id from projects p join above on p.id = above.parent_id),
    held as (select a.role_id from role_assignments a where ${actor} and (
      (a.project_id = :project and not a.inherited)
      or (a.inherited and coalesce(a.project_id, a.domain_id) in (select id from above where id <> :project)))),
    ${implied}`, { user: userId, project: scope.project }));
}
const rowsOf = <R>(result: { rows: R[] }): R[] => result.rows;

/** Roles with all that they imply, domain-specific ones left out. */
export async function withImplied(trx: Trx, roleIds: readonly string[]): Promise<RoleRef[]> {
  return rowsOf(await trx.raw(`with recursive held as (select unnest(:roles::text[]) as role_id), ${implied}`, { roles: [...roleIds] }));
}

/** Ids of the projects in which a user has any role. */
export async function projectsOfUser(trx: Trx, userId: string): Promise<string[]> {
  const result: { rows: { id: string }[] } = await trx.raw(`with recursive
    mine as (select a.* from role_assignments a where ${actor}),
    below (id) as (select p.id from projects p join mine m on m.inherited and p.parent_id = coalesce(m.project_id, m.domain_id) union select p.id from projects p join below on p.parent_id = below.id)
    select project_id as id from mine where not inherited and project_id is not null union select id from below`, { user: userId });
  return result.rows.map(r => r.id);
}
export async function domainsOfUser(trx: Trx, userId: string): Promise<string[]> {
  const result: { rows: { id: string }[] } = await trx.raw(`select distinct a.domain_id as id from role_assignments a where a.domain_id is not null and not a.inherited and ${actor}`, { user: userId });
  return result.rows.map(r => r.id);
}
export async function hasSystemRole(trx: Trx, userId: string): Promise<boolean> {
  const result: { rows: unknown[] } = await trx.raw(`select 1 from role_assignments a where a.on_system and ${actor} limit 1`, { user: userId });
  return result.rows.length > 0;
}

/** What a delegation still gives: the delegated roles, as far as whoever delegated has them. */
export async function delegatedRoles(trx: Trx, o: { delegated: readonly string[]; ownerId: string; projectId: string }): Promise<RoleRef[]> {
  const held = new Set((await effectiveRoles(trx, o.ownerId, { project: o.projectId })).map(r => r.id));
  return (await withImplied(trx, o.delegated)).filter(r => held.has(r.id));
}

/** A trust stands and falls with its roles: one that the trustor has lost ends it. Undefined then. */
export async function trustRoles(trx: Trx, trustId: string): Promise<RoleRef[] | undefined> {
  const trust: { project_id: string | null; trustor_user_id: string } | undefined = await trx('trusts').where({ id: trustId }).whereNull('deleted_at').first('project_id', 'trustor_user_id');
  if (!trust) return undefined;
  if (trust.project_id === null) return [];
  const all = await withImplied(trx, await trx('trust_roles').where({ trust_id: trustId }).pluck('role_id'));
  const held = new Set((await effectiveRoles(trx, trust.trustor_user_id, { project: trust.project_id })).map(r => r.id));
  return all.length > 0 && all.every(r => held.has(r.id)) ? all : undefined;
}
export async function appCredRoles(trx: Trx, appCredId: string): Promise<RoleRef[]> {
  const row: { user_id: string; project_id: string } | undefined = await trx('application_credentials').where({ id: appCredId }).first('user_id', 'project_id');
  if (!row) return [];
  return delegatedRoles(trx, { delegated: await trx('application_credential_roles').where({ application_credential_id: appCredId }).pluck('role_id'), ownerId: row.user_id, projectId: row.project_id });
}

/** The roles that a token of this kind has now; undefined when it has lost its ground. */
export async function rolesOf(trx: Trx, token: Pick<Caller, 'userId' | 'projectId' | 'domainId' | 'systemScope' | 'trustId' | 'appCredId'>): Promise<RoleRef[] | undefined> {
  if (token.trustId) return trustRoles(trx, token.trustId);
  const roles = token.appCredId ? await appCredRoles(trx, token.appCredId)
    : token.projectId ? await effectiveRoles(trx, token.userId, { project: token.projectId })
    : token.domainId ? await effectiveRoles(trx, token.userId, { domain: token.domainId })
    : token.systemScope ? await effectiveRoles(trx, token.userId, { system: true }) : [];
  return roles.length > 0 ? roles : undefined;
}

/** What verifiers ask of the database when a token alone does not say it. */
export const tokenFacts = (db: Db): TokenFacts => ({
  currentRoles: async caller => (await rolesOf(db, caller))?.map(r => r.name) ?? null,
  async accessRules(appCredId) {
    const rules: AccessRule[] = await db('application_credential_access_rules as l').join('access_rules as r', 'r.id', 'l.access_rule_id').where('l.application_credential_id', appCredId).select('r.id', 'r.service', 'r.method', 'r.path');
    return rules.length > 0 ? rules : null;
  },
});
