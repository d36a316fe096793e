import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, newHexId } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent, duplicateName, refuseImmutableDelete, refuseImmutableUpdate, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list, queryText } from '../listing.ts';
import { findDomain } from '../projects/store.ts';
import { Filters, mergeOptions, split } from '../shapes.ts';
import { RoleCreate, RoleUpdate } from './schemas.ts';
import { columns, find, type RoleRow } from './store.ts';
import { roleView } from './view.ts';

const own = ['name', 'description', 'domain_id', 'options'] as const;

export function roleRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  /** A domain's own role is guarded by a rule of its own. One that is not there is 404 to everybody (as upstream). */
  const permitted = async (ctx: Context, domainRule: string): Promise<RoleRow> => {
    const id = ctx.params['role_id'] as string;
    const role = await find(db, id);
    if (!role) throw absent('role', id);
    if (role.domain_id) ctx.permit(about(ctx, { role }), domainRule); else ctx.permit(about(ctx, { role }));
    return role;
  };
  return [
    operation({
      id: 'roles.list', summary: 'List roles', method: 'GET', path: '/roles', policy: 'identity:list_roles', otherPolicies: ['identity:list_domain_roles'], permit: 'object', query: Filters,
      async handler(ctx) {
        const domainId = queryText(ctx.query, 'domain_id');
        if (domainId) ctx.permit(about(ctx), 'identity:list_domain_roles'); else ctx.permit(about(ctx));
        const query = db('roles').select(columns);
        if (!domainId) query.whereNull('roles.domain_id');
        const found = await list<RoleRow>(ctx, query, { filters: { name: 'roles.name', ...(domainId ? { domain_id: 'roles.domain_id' } : {}) }, order: 'roles.id', sorts: { name: 'roles.name' } }, identity.settings.http.maxLimit);
        return { roles: found.rows.map(r => roleView(ctx, r)), links: found.links, ...(found.truncated ? { truncated: true } : {}) };
      },
    }),
    operation({
      id: 'roles.create', summary: 'Create a role', method: 'POST', path: '/roles', policy: 'identity:create_role', otherPolicies: ['identity:create_domain_role'], permit: 'object', status: 201, body: RoleCreate,
      async handler(ctx) {
        const { known, extra } = split(ctx.body.role, own);
        const domainId = (known.domain_id as string | null | undefined) ?? null;
        if (domainId) ctx.permit(about(ctx, { role: { domain_id: domainId } }), 'identity:create_domain_role'); else ctx.permit(about(ctx));
        if (domainId && !(await findDomain(db, domainId))) throw absent('domain', domainId);
        const name = String(known.name).trim();
        const [made] = await unlessDuplicate(db('roles').insert({ id: newHexId(), name, domain_id: domainId, description: known.description ?? null, options: mergeOptions({}, known.options), extra }).returning<RoleRow[]>(columns), () => duplicateName('role', name, domainId));
        return { role: roleView(ctx, made as RoleRow) };
      },
    }),
    operation({ id: 'roles.show', summary: 'Show a role', method: 'GET', path: '/roles/:role_id', policy: 'identity:get_role', otherPolicies: ['identity:get_domain_role'], permit: 'object', handler: async ctx => ({ role: roleView(ctx, await permitted(ctx, 'identity:get_domain_role')) }) }),
    operation({
      id: 'roles.update', summary: 'Update a role', method: 'PATCH', path: '/roles/:role_id', policy: 'identity:update_role', otherPolicies: ['identity:update_domain_role'], permit: 'object', body: RoleUpdate,
      async handler(ctx) {
        const role = await permitted(ctx, 'identity:update_domain_role');
        const body = ctx.body.role;
        if (body['id'] !== undefined && body['id'] !== role.id) throw new BadRequest('Cannot change ID');
        const { known, extra } = split(body, own);
        if (known.domain_id !== undefined && known.domain_id !== role.domain_id) throw new BadRequest('Update of `domain_id` is not allowed.');
        refuseImmutableUpdate('role', role.id, role.options, body);
        const name = known.name === undefined ? role.name : String(known.name).trim();
        const change = { name, ...(known.description === undefined ? {} : { description: known.description }), options: mergeOptions(role.options, known.options), extra: { ...role.extra, ...extra } };
        const made = await transaction(db, async trx => {
          const [row] = await unlessDuplicate(trx('roles').where({ id: role.id }).update(change).returning<RoleRow[]>(columns), () => duplicateName('role', name, role.domain_id));
          // Tokens carry names.
          if (name !== role.name) await identity.revoke(trx, { kind: 'roles' });
          return row;
        });
        if (!made) throw absent('role', role.id);
        return { role: roleView(ctx, made) };
      },
    }),
    operation({
      id: 'roles.delete', summary: 'Delete a role', method: 'DELETE', path: '/roles/:role_id', policy: 'identity:delete_role', otherPolicies: ['identity:delete_domain_role'], permit: 'object',
      async handler(ctx) {
        const role = await permitted(ctx, 'identity:delete_domain_role');
        refuseImmutableDelete('role', role.id, role.options);
        await transaction(db, async trx => {
          const used = await trx('role_assignments').where({ role_id: role.id }).first('role_id') ?? await trx('implied_roles').where({ prior_role_id: role.id }).orWhere({ implied_role_id: role.id }).first('prior_role_id')
            ?? await trx('trust_roles').where({ role_id: role.id }).first('role_id') ?? await trx('application_credential_roles').where({ role_id: role.id }).first('role_id');
          if (await trx('roles').where({ id: role.id }).delete() === 0) throw absent('role', role.id);
          if (used) await identity.revoke(trx, { kind: 'roles' });
        });
      },
    }),
  ];
}
