import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, newHexId } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list } from '../listing.ts';
import * as projects from '../projects/service.ts';
import { columns, findDomain, type ProjectRow } from '../projects/store.ts';
import { domainView } from '../projects/view.ts';
import { Filters } from '../shapes.ts';
import { DomainCreate, DomainUpdate } from './schemas.ts';

/** A domain is a project that acts as one: only the doors differ. */
export function domainRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  /** `absentFirst`: one that is not there is 404 to everybody (as upstream, where the rule is asked about what has been read). */
  const permitted = async (ctx: Context, { absentFirst = false } = {}): Promise<ProjectRow> => {
    const id = ctx.params['domain_id'] as string;
    const domain = await findDomain(db, id);
    if (!domain && absentFirst) throw absent('domain', id);
    ctx.permit(about(ctx, { domain: domain ?? {} }));
    if (!domain) throw absent('domain', id);
    return domain;
  };
  return [
    operation({
      id: 'domains.list', summary: 'List domains', method: 'GET', path: '/domains', policy: 'identity:list_domains', permit: 'object', query: Filters,
      async handler(ctx) {
        const mine = ctx.caller.domainId;
        ctx.permit(about(ctx, mine ? { domain: { id: mine } } : {}));
        const query = db('projects').select(columns).where('is_domain', true);
        if (mine) query.where('projects.id', mine);
        const found = await list<ProjectRow>(ctx, query, { filters: { name: 'projects.name', enabled: { column: 'projects.enabled', as: 'truth' } }, order: 'projects.id', sorts: { name: 'projects.name' } }, identity.settings.http.maxLimit);
        return { domains: found.rows.map(d => domainView(ctx, d)), links: found.links, ...(found.truncated ? { truncated: true } : {}) };
      },
    }),
    operation({
      id: 'domains.create', summary: 'Create a domain', method: 'POST', path: '/domains', policy: 'identity:create_domain', status: 201, body: DomainCreate,
      async handler(ctx) {
        const { explicit_domain_id, ...body } = ctx.body.domain;
        if (explicit_domain_id !== undefined && !/^[0-9a-f]{32}$/.test(explicit_domain_id)) throw new BadRequest('Domain ID does not conform to required UUID format.');
        return { domain: domainView(ctx, await projects.create(identity, { ...body, is_domain: true, parent_id: null }, undefined, explicit_domain_id ?? newHexId())) };
      },
    }),
    operation({
      id: 'domains.show', summary: 'Show a domain', method: 'GET', path: '/domains/:domain_id', policy: 'identity:get_domain', permit: 'object',
      handler: async ctx => ({ domain: domainView(ctx, await permitted(ctx)) }),
    }),
    operation({
      id: 'domains.update', summary: 'Update a domain', method: 'PATCH', path: '/domains/:domain_id', policy: 'identity:update_domain', permit: 'object', body: DomainUpdate,
      handler: async ctx => ({ domain: domainView(ctx, await projects.update(identity, await permitted(ctx, { absentFirst: true }), ctx.body.domain)) }),
    }),
    operation({
      id: 'domains.delete', summary: 'Delete a disabled domain and all that is in it', method: 'DELETE', path: '/domains/:domain_id', policy: 'identity:delete_domain', permit: 'object',
      async handler(ctx) { await projects.removeDomain(identity, (await permitted(ctx, { absentFirst: true })).id); },
    }),
  ];
}
