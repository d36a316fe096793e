import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, newHexId, NotFound } from '@cumulet/wire';
import { absent, expected } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { links, list, self } from '../listing.ts';
import { columns as projectColumns, find as findProject, type ProjectRow } from '../projects/store.ts';
import { projectView } from '../projects/view.ts';
import { Filters } from '../shapes.ts';
import { EndpointGroupCreate, EndpointGroupUpdate } from './schemas.ts';
import { endpoint as findEndpoint, endpointGroup as findGroup, endpointsOfProject, matching, type EndpointGroupRow, type EndpointRow } from './store.ts';
import { endpointGroupView, endpointView } from './view.ts';

/** OS-EP-FILTER: which endpoints the catalogue of a project shows. */
export function endpointFilterRoutes({ db, settings }: Identity): Operation[] {
  const root = '/OS-EP-FILTER';
  const mustHave = async (ctx: Context) => {
    const { project_id, endpoint_id, endpoint_group_id } = ctx.params;
    if (endpoint_id !== undefined && !(await findEndpoint(db, endpoint_id))) throw absent('endpoint', endpoint_id);
    if (project_id !== undefined && !(await findProject(db, project_id))) throw absent('project', project_id);
    const group = endpoint_group_id === undefined ? undefined : await findGroup(db, endpoint_group_id);
    if (endpoint_group_id !== undefined && !group) throw absent('endpoint group', endpoint_group_id);
    return group as EndpointGroupRow;
  };
  const checkFilters = (filters: object): void => {
    if (Object.keys(filters).some(k => !['service_id', 'region_id', 'interface'].includes(k))) throw expected('service_id or region_id or interface', 'endpoint_group');
  };
  const projectsOf = async (ctx: Context, ids: readonly string[]) => {
    const rows: ProjectRow[] = await db('projects').select(projectColumns).whereIn('id', [...ids]).orderBy('id');
    return { projects: rows.map(p => projectView(ctx, p)), links: links(ctx) };
  };
  const endpointsReply = (ctx: Context, rows: readonly EndpointRow[]) => ({ endpoints: rows.map(e => endpointView(ctx, e)), links: links(ctx) });
  const group = `${root}/endpoint_groups/:endpoint_group_id`;
  const pair = (ctx: Context) => ({ project_id: ctx.params['project_id'], endpoint_id: ctx.params['endpoint_id'] });
  const groupPair = (ctx: Context) => ({ project_id: ctx.params['project_id'], endpoint_group_id: ctx.params['endpoint_group_id'] });

  return [
    operation({
      id: 'endpoint_groups.list', summary: 'List endpoint groups', method: 'GET', path: `${root}/endpoint_groups`, policy: 'identity:list_endpoint_groups', query: Filters,
      async handler(ctx) {
        const page = await list<EndpointGroupRow>(ctx, db('endpoint_groups').select('endpoint_groups.*'), { filters: { name: 'endpoint_groups.name' }, order: 'endpoint_groups.id' }, settings.http.maxLimit);
        return { endpoint_groups: page.rows.map(g => endpointGroupView(ctx, g)), links: page.links };
      },
    }),
    operation({
      id: 'endpoint_groups.create', summary: 'Create an endpoint group', method: 'POST', path: `${root}/endpoint_groups`, policy: 'identity:create_endpoint_group', status: 201, body: EndpointGroupCreate,
      async handler(ctx) {
        const { name, description, filters } = ctx.body.endpoint_group;
        if (Object.keys(filters).length === 0) throw new BadRequest('filters field is required and cannot be empty');
        checkFilters(filters);
        const [made] = await db('endpoint_groups').insert({ id: newHexId(), name, description: description ?? null, filters }).returning<EndpointGroupRow[]>('*');
        return { endpoint_group: endpointGroupView(ctx, made as EndpointGroupRow) };
      },
    }),
    operation({ id: 'endpoint_groups.show', summary: 'Show an endpoint group', method: 'GET', path: group, policy: 'identity:get_endpoint_group', handler: async ctx => ({ endpoint_group: endpointGroupView(ctx, await mustHave(ctx)) }) }),
    operation({
      id: 'endpoint_groups.update', summary: 'Update an endpoint group', method: 'PATCH', path: group, policy: 'identity:update_endpoint_group', body: EndpointGroupUpdate,
      async handler(ctx) {
        const { name, description, filters } = ctx.body.endpoint_group;
        if (filters) checkFilters(filters);
        const before = await mustHave(ctx);
        const [made] = await db('endpoint_groups').where({ id: before.id }).update({ name: name ?? before.name, description: description === undefined ? before.description : description, filters: { ...before.filters, ...filters } }).returning<EndpointGroupRow[]>('*');
        if (!made) throw absent('endpoint group', before.id);
        return { endpoint_group: endpointGroupView(ctx, made) };
      },
    }),
    operation({ id: 'endpoint_groups.delete', summary: 'Delete an endpoint group', method: 'DELETE', path: group, policy: 'identity:delete_endpoint_group', async handler(ctx) { await db('endpoint_groups').where({ id: (await mustHave(ctx)).id }).delete(); } }),
    operation({
      id: 'endpoint_groups.endpoints', summary: 'List the endpoints of a group', method: 'GET', path: `${group}/endpoints`, policy: 'identity:list_endpoints_associated_with_endpoint_group',
      handler: async ctx => endpointsReply(ctx, await matching(db('endpoints').select('endpoints.*').orderBy('id'), (await mustHave(ctx)).filters)),
    }),
    operation({
      id: 'endpoint_groups.projects', summary: 'List the projects of a group', method: 'GET', path: `${group}/projects`, policy: 'identity:list_projects_associated_with_endpoint_group',
      handler: async ctx => projectsOf(ctx, await db('project_endpoint_groups').where({ endpoint_group_id: (await mustHave(ctx)).id }).pluck('project_id')),
    }),
    operation({
      id: 'endpoint_groups.projects.show', summary: 'Show a group in a project', method: 'GET', path: `${group}/projects/:project_id`, policy: 'identity:get_endpoint_group_in_project',
      async handler(ctx) {
        await mustHave(ctx);
        if (!(await db('project_endpoint_groups').where(groupPair(ctx)).first('project_id'))) throw new NotFound('Endpoint Group Project Association not found');
        return { project_endpoint_group: { ...groupPair(ctx), links: self(ctx, `OS-EP-FILTER/endpoint_groups/${ctx.params['endpoint_group_id']}/projects/${ctx.params['project_id']}`) } };
      },
    }),
    operation({
      id: 'endpoint_groups.projects.add', summary: 'Give a group to a project', method: 'PUT', path: `${group}/projects/:project_id`, policy: 'identity:add_endpoint_group_to_project',
      async handler(ctx) { await mustHave(ctx); await db('project_endpoint_groups').insert(groupPair(ctx)).onConflict().ignore(); },
    }),
    operation({
      id: 'endpoint_groups.projects.remove', summary: 'Take a group from a project', method: 'DELETE', path: `${group}/projects/:project_id`, policy: 'identity:remove_endpoint_group_from_project',
      async handler(ctx) { await mustHave(ctx); if (await db('project_endpoint_groups').where(groupPair(ctx)).delete() === 0) throw new NotFound('Endpoint Group Project Association not found'); },
    }),
    operation({
      id: 'projects.endpoint_groups', summary: 'List the endpoint groups of a project', method: 'GET', path: `${root}/projects/:project_id/endpoint_groups`, policy: 'identity:list_endpoint_groups_for_project',
      async handler(ctx) {
        await mustHave(ctx);
        const rows: EndpointGroupRow[] = await db('endpoint_groups as g').join('project_endpoint_groups as p', 'p.endpoint_group_id', 'g.id').where('p.project_id', ctx.params['project_id']).orderBy('g.id').select('g.*');
        return { endpoint_groups: rows.map(g => endpointGroupView(ctx, g)), links: links(ctx) };
      },
    }),
    operation({
      id: 'projects.endpoints', summary: 'List the endpoints of a project', method: 'GET', path: `${root}/projects/:project_id/endpoints`, policy: 'identity:list_endpoints_for_project',
      async handler(ctx) { await mustHave(ctx); return endpointsReply(ctx, await db('endpoints').whereIn('id', await endpointsOfProject(db, ctx.params['project_id'] as string)).orderBy('id')); },
    }),
    operation({
      id: 'projects.endpoints.check', summary: 'Whether an endpoint is given to a project', method: 'GET', path: `${root}/projects/:project_id/endpoints/:endpoint_id`, policy: 'identity:check_endpoint_in_project',
      async handler(ctx) { await mustHave(ctx); if (!(await db('project_endpoints').where(pair(ctx)).first('project_id'))) throw notGiven(ctx); },
    }),
    operation({
      id: 'projects.endpoints.add', summary: 'Give an endpoint to a project', method: 'PUT', path: `${root}/projects/:project_id/endpoints/:endpoint_id`, policy: 'identity:add_endpoint_to_project',
      async handler(ctx) { await mustHave(ctx); await db('project_endpoints').insert(pair(ctx)).onConflict().ignore(); },
    }),
    operation({
      id: 'projects.endpoints.remove', summary: 'Take an endpoint from a project', method: 'DELETE', path: `${root}/projects/:project_id/endpoints/:endpoint_id`, policy: 'identity:remove_endpoint_from_project',
      async handler(ctx) { if (await db('project_endpoints').where(pair(ctx)).delete() === 0) throw notGiven(ctx); },
    }),
    operation({
      id: 'endpoints.projects', summary: 'List the projects of an endpoint', method: 'GET', path: `${root}/endpoints/:endpoint_id/projects`, policy: 'identity:list_projects_for_endpoint',
      async handler(ctx) { await mustHave(ctx); return projectsOf(ctx, await db('project_endpoints').where({ endpoint_id: ctx.params['endpoint_id'] }).pluck('project_id')); },
    }),
  ];
}
const notGiven = (ctx: Context) => new NotFound(`Endpoint ${ctx.params['endpoint_id']} not found in project ${ctx.params['project_id']}`);
