import type { Trx } from '@cumulet/db';

/** One assignment as the list shows it. `via…` tell where an effective one comes from. */
export interface AssignmentRow {
  readonly role_id: string;
  readonly user_id: string | null;
  readonly group_id: string | null;
  readonly project_id: string | null;
  readonly domain_id: string | null;
  readonly on_system: boolean;
  readonly inherited: boolean;
  readonly via_group: string | null;
  readonly via_project: string | null;
  readonly via_domain: string | null;
  readonly via_role: string | null;
}
export interface AssignmentFilter {
  readonly role?: string | undefined;
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly project?: string | undefined;
  /** With `project`: the projects below it too. */
  readonly subtree: boolean;
  readonly domain?: string | undefined;
  readonly system: boolean;
  readonly inherited?: boolean | undefined;
  /** Only what lies in this domain: for callers whose token is scoped to one. */
  readonly withinDomain?: string | undefined;
}

const below = `tree (id) as (select id from projects where id = :project union select p.id from projects p join tree on p.parent_id = tree.id and :subtree)`;
const within = `(:withinDomain::text is null or domain_id = :withinDomain or project_id in (select id from projects where projects.domain_id = :withinDomain))`;
const bindings = (f: AssignmentFilter) => ({ role: f.role ?? null, user: f.user ?? null, group: f.group ?? null, project: f.project ?? null, subtree: f.subtree, domain: f.domain ?? null, system: f.system, inherited: f.inherited ?? null, withinDomain: f.withinDomain ?? null });
const wanted = `(:role::text is null or role_id = :role) and (:user::text is null or user_id = :user) and (:project::text is null or project_id in (select id from tree))
  and (:domain::text is null or domain_id = :domain) and (not :system or on_system)`;

/** Assignments as they were made. */
export async function assignments(trx: Trx, f: AssignmentFilter): Promise<AssignmentRow[]> {
  const result: { rows: AssignmentRow[] } = await trx.raw(`with recursive ${below}
    select role_id, user_id, group_id, project_id, domain_id, on_system, inherited, null as via_group, null as via_project, null as via_domain, null as via_role from role_assignments
    where ${wanted} and (:group::text is null or group_id = :group) and (:inherited::boolean is null or inherited = :inherited) and ${within}
    order by project_id, domain_id, user_id, group_id, role_id`, bindings(f));
  return result.rows;
}

/** Assignments as they take effect: groups as their users, inherited ones on the projects below, implied roles spelt out. */
export async function effectiveAssignments(trx: Trx, f: AssignmentFilter): Promise<AssignmentRow[]> {
  const result: { rows: AssignmentRow[] } = await trx.raw(`with recursive ${below},
    made as (select a.role_id, coalesce(a.user_id, m.user_id) as user_id, a.group_id as via_group, a.project_id, a.domain_id, a.on_system, a.inherited
      from role_assignments a left join group_members m on m.group_id = a.group_id
      where coalesce(a.user_id, m.user_id) is not null and (:user::text is null or coalesce(a.user_id, m.user_id) = :user)),
    beneath (root, id) as (
      select coalesce(a.project_id, a.domain_id), p.id from made a join projects p on p.parent_id = coalesce(a.project_id, a.domain_id) where a.inherited
      union select b.root, p.id from beneath b join projects p on p.parent_id = b.id),
    placed as (
      select role_id, user_id, via_group, project_id, domain_id, on_system, null::text as via_project, null::text as via_domain from made where not inherited and :inherited::boolean is not true
      union all
      select a.role_id, a.user_id, a.via_group, b.id, null, false, a.project_id, a.domain_id from made a join beneath b on b.root = coalesce(a.project_id, a.domain_id) where a.inherited and :inherited::boolean is not false),
    spelt as (
      select p.*, null::text as via_role from placed p
      union select s.role_id_next, s.user_id, s.via_group, s.project_id, s.domain_id, s.on_system, s.via_project, s.via_domain, s.prior
        from (select i.implied_role_id as role_id_next, x.role_id as prior, x.user_id, x.via_group, x.project_id, x.domain_id, x.on_system, x.via_project, x.via_domain from spelt x join implied_roles i on i.prior_role_id = x.role_id) s)
    select role_id, user_id, null as group_id, project_id, domain_id, on_system, false as inherited, via_group, via_project, via_domain, via_role from spelt
    where ${wanted} and ${within} and role_id in (select id from roles where roles.domain_id is null)
    order by project_id, domain_id, user_id, role_id`, bindings(f));
  return result.rows;
}

export interface Names { readonly users: Map<string, Named>; readonly groups: Map<string, Named>; readonly projects: Map<string, Named>; readonly roles: Map<string, Named> }
interface Named { readonly id: string; readonly name: string; readonly domain_id: string | null; readonly domain_name: string | null }

/** Names and domains of everything that a list of assignments mentions: four queries, however long it is. */
export async function namesOf(trx: Trx, rows: readonly AssignmentRow[]): Promise<Names> {
  const read = async (table: string, ids: readonly (string | null)[]) => {
    const unique = [...new Set(ids.filter(id => id !== null))];
    const found: Named[] = unique.length === 0 ? [] : await trx(`${table} as t`).leftJoin('projects as d', 'd.id', 't.domain_id').whereIn('t.id', unique).select('t.id', 't.name', 't.domain_id', 'd.name as domain_name');
    return new Map(found.map(n => [n.id, n]));
  };
  return {
    users: await read('users', rows.map(r => r.user_id)), groups: await read('groups', rows.map(r => r.group_id)),
    projects: await read('projects', rows.flatMap(r => [r.project_id, r.domain_id])), roles: await read('roles', rows.map(r => r.role_id)),
  };
}
