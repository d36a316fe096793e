import { transaction, type Trx } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { Forbidden, NotFound } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import * as groups from '../groups/store.ts';
import type { Identity } from '../identity.ts';
import { links } from '../listing.ts';
import * as projects from '../projects/store.ts';
import { columns as roleColumns, find as findRole, type RoleRow } from '../roles/store.ts';
import { roleView } from '../roles/view.ts';
import * as users from '../users/store.ts';

type Target = 'projects' | 'domains' | 'system';
type Actor = 'users' | 'groups';
type Kind = 'check' | 'list' | 'create' | 'revoke';

/** One assignment as its columns. */
interface Grant { user_id?: string; group_id?: string; project_id?: string; domain_id?: string; on_system: boolean; inherited: boolean }

/** The rule of a grant call; those of the system have names of their own. */
const rule = (kind: Kind, target: Target, actor: Actor): string => {
  if (target !== 'system') return { check: 'identity:check_grant', list: 'identity:list_grants', create: 'identity:create_grant', revoke: 'identity:revoke_grant' }[kind];
  return `identity:${kind}_system_grant${kind === 'list' ? 's' : ''}_for_${actor === 'users' ? 'user' : 'group'}`;
};

interface Place { readonly target: Target; readonly actor: Actor; readonly inherited: boolean; readonly path: string; readonly id: string }

function places(): Place[] {
  const all: Place[] = [];
  for (const actor of ['users', 'groups'] as const) {
    const who = actor === 'users' ? '/users/:user_id' : '/groups/:group_id';
    for (const [target, where] of [['projects', '/projects/:project_id'], ['domains', '/domains/:domain_id']] as const) {
      all.push({ target, actor, inherited: false, path: `${where}${who}/roles`, id: `${target}.${actor}` });
      all.push({ target, actor, inherited: true, path: `/OS-INHERIT${where}${who}/roles`, id: `inherit.${target}.${actor}` });
    }
    all.push({ target: 'system', actor, inherited: false, path: `/system${who}/roles`, id: `system.${actor}` });
  }
  return all;
}

/** Who, where and what, as far as they are there: for the rule, and afterwards for the 404. */
async function look(identity: Identity, ctx: Context) {
  const { user_id, group_id, project_id, domain_id, role_id } = ctx.params;
  const [user, group, project, domain, role] = await Promise.all([
    user_id === undefined ? undefined : users.find(identity.db, user_id), group_id === undefined ? undefined : groups.find(identity.db, group_id),
    project_id === undefined ? undefined : projects.find(identity.db, project_id), domain_id === undefined ? undefined : projects.findDomain(identity.db, domain_id),
    role_id === undefined ? undefined : findRole(identity.db, role_id),
  ]);
  ctx.permit(about(ctx, {
    ...(user ? { user: { id: user.id, domain_id: user.domain_id } } : {}), ...(group ? { group } : {}), ...(project ? { project } : {}), ...(domain ? { domain } : {}), ...(role ? { role } : {}),
  }));
  if (role_id !== undefined && !role) throw absent('role', role_id);
  if (project_id !== undefined && !project) throw absent('project', project_id);
  if (domain_id !== undefined && !domain) throw absent('domain', domain_id);
  return { user, group, project, role };
}

const grantOf = (ctx: Context, place: Place): Grant => ({
  ...(ctx.params['user_id'] === undefined ? {} : { user_id: ctx.params['user_id'] }), ...(ctx.params['group_id'] === undefined ? {} : { group_id: ctx.params['group_id'] }),
  ...(ctx.params['project_id'] === undefined ? {} : { project_id: ctx.params['project_id'] }), ...(ctx.params['domain_id'] === undefined ? {} : { domain_id: ctx.params['domain_id'] }),
  on_system: place.target === 'system', inherited: place.inherited,
});
const noAssignment = (ctx: Context) => new NotFound(`Could not find role assignment with role: ${ctx.params['role_id']}, user or group: ${ctx.params['user_id'] ?? ctx.params['group_id']}, project, domain, or system: ${ctx.params['project_id'] ?? ctx.params['domain_id'] ?? 'system'}.`);

/** Tokens of whoever is concerned have their roles read again. */
export async function rolesChanged(identity: Identity, trx: Trx, grant: Pick<Grant, 'user_id' | 'group_id' | 'project_id' | 'inherited'>): Promise<void> {
  const people: string[] = grant.user_id !== undefined ? [grant.user_id] : await trx('group_members').where({ group_id: grant.group_id }).pluck('user_id');
  const projectId = grant.inherited ? undefined : grant.project_id;
  for (const userId of people) await identity.revoke(trx, { kind: 'roles', userId, ...(projectId === undefined ? {} : { projectId }) });
}

export function grantRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  return places().flatMap(place => {
    const one = place.inherited ? `${place.path}/:role_id/inherited_to_projects` : `${place.path}/:role_id`;
    const listPath = place.inherited ? `${place.path}/inherited_to_projects` : place.path;
    const named = `${place.inherited ? 'inherited ' : ''}${place.actor} on ${place.target}`;
    return [
      operation({
        id: `grants.${place.id}.list`, summary: `List roles of ${named}`, method: 'GET', path: listPath, policy: rule('list', place.target, place.actor), permit: 'object',
        async handler(ctx) {
          await look(identity, ctx);
          const rows: RoleRow[] = await db('roles').select(roleColumns).whereIn('roles.id', db('role_assignments').where(grantOf(ctx, place)).select('role_id')).orderBy('roles.id');
          return { roles: rows.map(r => roleView(ctx, r)), links: links(ctx) };
        },
      }),
      operation({
        id: `grants.${place.id}.check`, summary: `Whether a role is given to ${named}`, method: 'GET', path: one, policy: rule('check', place.target, place.actor), permit: 'object',
        async handler(ctx) {
          await look(identity, ctx);
          if (!(await db('role_assignments').where({ ...grantOf(ctx, place), role_id: ctx.params['role_id'] }).first('role_id'))) throw noAssignment(ctx);
        },
      }),
      operation({
        id: `grants.${place.id}.create`, summary: `Give a role to ${named}`, method: 'PUT', path: one, policy: rule('create', place.target, place.actor), permit: 'object',
        async handler(ctx) {
          const { user, group, project, role } = await look(identity, ctx);
          if (place.actor === 'users' && !user) throw absent('user', ctx.params['user_id'] as string);
          if (place.actor === 'groups' && !group) throw absent('group', ctx.params['group_id'] as string);
          refuseForeignRole(place, role as RoleRow, project);
          await transaction(db, async trx => {
            await trx('role_assignments').insert({ ...grantOf(ctx, place), role_id: ctx.params['role_id'] }).onConflict().ignore();
            await rolesChanged(identity, trx, grantOf(ctx, place));
          });
        },
      }),
      operation({
        id: `grants.${place.id}.revoke`, summary: `Take a role from ${named}`, method: 'DELETE', path: one, policy: rule('revoke', place.target, place.actor), permit: 'object',
        async handler(ctx) {
          await look(identity, ctx);
          const grant = grantOf(ctx, place);
          await transaction(db, async trx => {
            if (await trx('role_assignments').where({ ...grant, role_id: ctx.params['role_id'] }).delete() === 0) throw noAssignment(ctx);
            await dropDelegations(identity, trx, grant);
            await rolesChanged(identity, trx, grant);
          });
        },
      }),
    ];
  });
}

/** A domain-specific role is of use only within its domain, and not on the system. */
function refuseForeignRole(place: Place, role: RoleRow, project: projects.ProjectRow | undefined): void {
  if (role.domain_id === null) return;
  if (project && project.domain_id !== role.domain_id) throw new Forbidden(`Project ${project.id} must be in the same domain as the role ${role.id} being assigned.`);
  if (place.target === 'system') throw new Forbidden(`Role ${role.id} is a domain-specific role. Unable to use a domain-specific role in a system assignment.`);
}

/** keystone: a user who loses a role in a project loses the application credentials there. */
async function dropDelegations(identity: Identity, trx: Trx, grant: Grant): Promise<void> {
  if (grant.user_id === undefined || grant.project_id === undefined) return;
  const gone: { id: string }[] = await trx('application_credentials').where({ user_id: grant.user_id, project_id: grant.project_id }).delete().returning('id');
  for (const { id } of gone) await identity.revoke(trx, { kind: 'revoked', appCredId: id });
}
