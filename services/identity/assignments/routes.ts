import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { flag, links, queryText, self } from '../listing.ts';
import * as projects from '../projects/store.ts';
import { Filters } from '../shapes.ts';
import { assignments, effectiveAssignments, namesOf, type AssignmentFilter, type AssignmentRow, type Names } from './list.ts';

export function assignmentRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  return [
    operation({
      id: 'role_assignments.list', summary: 'List role assignments', method: 'GET', path: '/role_assignments', policy: 'identity:list_role_assignments', otherPolicies: ['identity:list_role_assignments_for_tree'], permit: 'object', query: Filters,
      async handler(ctx) {
        const subtree = flag(ctx.query, 'include_subtree');
        const projectId = queryText(ctx.query, 'scope.project.id');
        if (subtree) await permitTree(identity, ctx, projectId);
        else ctx.permit(about(ctx, ctx.caller.domainId ? { domain_id: ctx.caller.domainId } : {}));
        const filter = filterOf(ctx, subtree);
        if (projectId !== undefined && !(await projects.find(db, projectId))) throw absent('project', projectId);
        const rows = flag(ctx.query, 'effective') ? await effectiveAssignments(db, filter) : await assignments(db, filter);
        const names = flag(ctx.query, 'include_names') ? await namesOf(db, rows) : undefined;
        return { role_assignments: rows.map(r => assignmentView(ctx, r, names)), links: links(ctx) };
      },
    }),
  ];
}

/** A tree has a rule of its own, asked about the project at its top. */
async function permitTree(identity: Identity, ctx: Context, projectId: string | undefined): Promise<void> {
  const project = projectId === undefined ? undefined : await projects.find(identity.db, projectId);
  ctx.permit(about(ctx, project ? { project, domain_id: project.domain_id } : {}), 'identity:list_role_assignments_for_tree');
  if (projectId === undefined) throw new BadRequest('scope.project.id must be specified if include_subtree is also specified');
}

function filterOf(ctx: Context, subtree: boolean): AssignmentFilter {
  const text = (name: string) => queryText(ctx.query, name);
  const [user, group, project, domain, system] = ['user.id', 'group.id', 'scope.project.id', 'scope.domain.id', 'scope.system'].map(text);
  if (domain && project) throw new BadRequest('Specify a domain or project, not both');
  if (domain && system) throw new BadRequest('Specify system or domain, not both');
  if (project && system) throw new BadRequest('Specify system or project, not both');
  if (user && group) throw new BadRequest('Specify a user or group, not both');
  const inheritedTo = text('scope.OS-INHERIT:inherited_to');
  const inherited = inheritedTo === undefined ? undefined : inheritedTo === 'projects';
  if (flag(ctx.query, 'effective')) {
    if (group) throw new BadRequest('Combining effective and group filter will always result in an empty list.');
    if (inherited && domain) throw new BadRequest('Combining effective, domain and inherited filters will always result in an empty list.');
  }
  return { role: text('role.id'), user, group, project, domain, system: system !== undefined, subtree, inherited, withinDomain: ctx.caller.domainId };
}

function assignmentView(ctx: Context, r: AssignmentRow, names: Names | undefined): object {
  const entity = (of: keyof Names, id: string) => {
    const known = names?.[of].get(id);
    return known ? { id, name: known.name, ...(known.domain_id === null ? {} : { domain: { id: known.domain_id, name: known.domain_name } }) } : { id };
  };
  const inherited = r.inherited || r.via_project !== null || r.via_domain !== null;
  const scope = r.project_id !== null ? { project: entity('projects', r.project_id) } : r.domain_id !== null ? { domain: entity('projects', r.domain_id) } : { system: { all: true } };
  const where = r.via_domain !== null ? `domains/${r.via_domain}` : r.via_project !== null ? `projects/${r.via_project}` : r.project_id !== null ? `projects/${r.project_id}` : r.domain_id !== null ? `domains/${r.domain_id}` : 'system';
  const groupId = r.via_group ?? r.group_id;
  const path = `${where}/${groupId !== null ? `groups/${groupId}` : `users/${r.user_id}`}/roles/${r.via_role ?? r.role_id}`;
  return {
    links: {
      assignment: self(ctx, inherited ? `OS-INHERIT/${path}/inherited_to_projects` : path).self,
      ...(r.via_group !== null ? { membership: self(ctx, `groups/${r.via_group}/users/${r.user_id}`).self } : {}),
      ...(r.via_role !== null ? { prior_role: self(ctx, `prior_role/${r.via_role}/implies/${r.role_id}`).self } : {}),
    },
    scope: { ...scope, ...(inherited ? { 'OS-INHERIT:inherited_to': 'projects' } : {}) },
    ...(r.user_id !== null ? { user: entity('users', r.user_id) } : {}), ...(r.user_id === null && r.group_id !== null ? { group: entity('groups', r.group_id) } : {}),
    role: entity('roles', r.role_id),
  };
}
