import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, NotFound } from '@cumulet/wire';
import { about, domainFor } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { flag, links, list, queryText, self } from '../listing.ts';
import { limitsOfProjects } from '../limits/store.ts';
import { limitView } from '../limits/view.ts';
import { projectsOfUser } from '../assignments/effective.ts';
import { Filters } from '../shapes.ts';
import { oneTag, ProjectCreate, ProjectUpdate, Tags } from './schemas.ts';
import * as projects from './service.ts';
import * as store from './store.ts';
import type { ProjectRow } from './store.ts';
import { parentsAsIds, projectView, subtreeAsIds } from './view.ts';

export function projectRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  /** Finds, asks the operation's rule about it, and only then says that it is not there. */
  const permitted = async (ctx: Context): Promise<ProjectRow> => {
    const id = ctx.params['project_id'] as string;
    const project = await store.find(db, id);
    ctx.permit(about(ctx, { project: project ?? {} }));
    if (!project) throw absent('project', id);
    return project;
  };
  const setTags = async (project: ProjectRow, tags: readonly string[]) => store.update(db, project.id, { tags });

  return [
    operation({
      id: 'projects.list', summary: 'List projects', method: 'GET', path: '/projects', policy: 'identity:list_projects', permit: 'object', query: Filters,
      async handler(ctx) {
        const domainId = ctx.caller.domainId;
        ctx.permit(about(ctx, domainId ? { domain_id: domainId } : {}));
        const query = db('projects').select(store.columns);
        if (queryText(ctx.query, 'is_domain') === undefined) query.where('is_domain', false);
        if (domainId) query.where('domain_id', domainId);
        filterTags(query, ctx);
        const found = await list<ProjectRow>(ctx, query, {
          filters: { name: 'projects.name', domain_id: 'projects.domain_id', parent_id: 'projects.parent_id', enabled: { column: 'projects.enabled', as: 'truth' }, is_domain: { column: 'projects.is_domain', as: 'truth' } },
          order: 'projects.id', sorts: { name: 'projects.name' },
        }, identity.settings.http.maxLimit);
        return { projects: found.rows.map(p => projectView(ctx, p)), links: found.links, ...(found.truncated ? { truncated: true } : {}) };
      },
    }),
    operation({
      id: 'projects.create', summary: 'Create a project', method: 'POST', path: '/projects', policy: 'identity:create_project', permit: 'object', status: 201, body: ProjectCreate,
      async handler(ctx) {
        const body = ctx.body.project;
        const domainId = body.is_domain === true ? undefined : domainFor(ctx.caller, body.domain_id);
        ctx.permit(about(ctx, { project: { domain_id: domainId ?? null } }));
        return { project: projectView(ctx, await projects.create(identity, body, domainId)) };
      },
    }),
    operation({
      id: 'projects.show', summary: 'Show a project', method: 'GET', path: '/projects/:project_id', policy: 'identity:get_project', permit: 'object', query: Filters,
      async handler(ctx) {
        const project = await permitted(ctx);
        return { project: { ...projectView(ctx, project), ...await family(identity, ctx, project) } };
      },
    }),
    operation({
      id: 'projects.update', summary: 'Update a project', method: 'PATCH', path: '/projects/:project_id', policy: 'identity:update_project', permit: 'object', body: ProjectUpdate,
      async handler(ctx) {
        const project = await projects.update(identity, await permitted(ctx), ctx.body.project);
        // Upstream's reply to an update shows the further members twice; clients of old read them here.
        return { project: { ...projectView(ctx, project), extra: project.extra } };
      },
    }),
    operation({
      id: 'projects.delete', summary: 'Delete a project', method: 'DELETE', path: '/projects/:project_id', policy: 'identity:delete_project', permit: 'object',
      async handler(ctx) { await projects.remove(identity, (await permitted(ctx)).id); },
    }),
    operation({
      id: 'projects.tags.list', summary: 'List the tags of a project', method: 'GET', path: '/projects/:project_id/tags', policy: 'identity:list_project_tags', permit: 'object',
      handler: async ctx => ({ tags: (await permitted(ctx)).tags, links: selfOnly(ctx) }),
    }),
    operation({
      id: 'projects.tags.replace', summary: 'Replace the tags of a project', method: 'PUT', path: '/projects/:project_id/tags', policy: 'identity:update_project_tags', permit: 'object', body: Tags,
      handler: async ctx => ({ tags: (await setTags(await permitted(ctx), ctx.body.tags)).tags, links: selfOnly(ctx) }),
    }),
    operation({
      id: 'projects.tags.clear', summary: 'Remove all tags of a project', method: 'DELETE', path: '/projects/:project_id/tags', policy: 'identity:delete_project_tags', permit: 'object',
      async handler(ctx) { await setTags(await permitted(ctx), []); },
    }),
    operation({
      id: 'projects.tags.check', summary: 'Whether a project has a tag', method: 'GET', path: '/projects/:project_id/tags/:value', policy: 'identity:get_project_tag', permit: 'object',
      async handler(ctx) { if (!(await permitted(ctx)).tags.includes(ctx.params['value'] as string)) throw noTag(ctx); },
    }),
    operation({
      id: 'projects.tags.add', summary: 'Add a tag to a project', method: 'PUT', path: '/projects/:project_id/tags/:value', policy: 'identity:create_project_tag', permit: 'object', status: 201,
      async handler(ctx) {
        const project = await permitted(ctx);
        const tag = oneTag.safeParse(ctx.params['value']);
        if (!tag.success) throw new BadRequest(`Invalid input for field 'tag': ${String(ctx.params['value']).slice(0, 255)} is not a valid tag`);
        // As keystone, which checks the list that would come of it.
        if (project.tags.includes(tag.data)) throw new BadRequest(`Invalid input for field 'tags': the project has the tag ${tag.data} already`);
        if (project.tags.length >= 80) throw new BadRequest('A project has at most 80 tags: [...] is too long');
        await db('projects').where({ id: project.id }).whereRaw('not (? = any(tags))', [tag.data]).update({ tags: db.raw('array_append(tags, ?)', [tag.data]) });
        return new Reply(201, undefined, { location: self(ctx, `projects/${project.id}/tags/${encodeURIComponent(tag.data)}`).self });
      },
    }),
    operation({
      id: 'projects.tags.remove', summary: 'Remove a tag of a project', method: 'DELETE', path: '/projects/:project_id/tags/:value', policy: 'identity:delete_project_tag', permit: 'object',
      async handler(ctx) {
        const project = await permitted(ctx);
        const tag = ctx.params['value'] as string;
        if (await db('projects').where({ id: project.id }).whereRaw('? = any(tags)', [tag]).update({ tags: db.raw('array_remove(tags, ?)', [tag]) }) === 0) throw noTag(ctx);
      },
    }),
  ];
}
const noTag = (ctx: Context) => new NotFound(`Could not find project tag: ${ctx.params['value']}.`);
const selfOnly = (ctx: Context) => ({ self: (links(ctx) as { self: string }).self });

function filterTags(query: import('knex').Knex.QueryBuilder, ctx: Context): void {
  const tagsOf = (name: string) => queryText(ctx.query, name)?.split(',');
  const [all, any, notAll, notAny] = ['tags', 'tags-any', 'not-tags', 'not-tags-any'].map(tagsOf);
  if (all) query.whereRaw('tags @> ?::text[]', [all]);
  if (any) query.whereRaw('tags && ?::text[]', [any]);
  if (notAll) query.whereRaw('not (tags @> ?::text[])', [notAll]);
  if (notAny) query.whereRaw('not (tags && ?::text[])', [notAny]);
}

/** Parents and subtree as the query asks: as whole projects those that the caller has a role in, as ids all. */
async function family(identity: Identity, ctx: Context, project: ProjectRow): Promise<object> {
  const asks = (name: string) => flag(ctx.query, name);
  for (const which of ['parents', 'subtree']) if (asks(`${which}_as_list`) && asks(`${which}_as_ids`)) throw new BadRequest(`Cannot use ${which}_as_list and ${which}_as_ids query params at the same time.`);
  const out: Record<string, unknown> = {};
  const visible = async (rows: readonly ProjectRow[]) => {
    const mine = new Set(await projectsOfUser(identity.db, ctx.caller.userId));
    const seen = rows.filter(p => mine.has(p.id));
    const limits = asks('include_limits') ? await limitsOfProjects(identity.db, seen.map(p => p.id)) : undefined;
    return seen.map(p => ({ project: { ...projectView(ctx, p), ...(limits ? { limits: (limits.get(p.id) ?? []).map(l => limitView(ctx, l)) } : {}) } }));
  };
  if (asks('parents_as_list')) out['parents'] = await visible(await store.parents(identity.db, project.id));
  if (asks('parents_as_ids')) out['parents'] = parentsAsIds(await store.parents(identity.db, project.id));
  if (asks('subtree_as_list')) out['subtree'] = await visible(await store.subtree(identity.db, project.id));
  if (asks('subtree_as_ids')) out['subtree'] = subtreeAsIds(project.id, await store.subtree(identity.db, project.id));
  return out;
}
