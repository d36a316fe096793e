import { brokenReference, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, newId } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { grant } from '../rbac/access.ts';
import { find, writtenView } from '../rest/collection.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { reading } from '../rest/reading.ts';
import { AddressScopes, CreateAddressScope, UpdateAddressScope } from './address_scopes.ts';

/** A scope says whose subnets have addresses of one plan: routers let those reach each other without translation, and no others. */
export const addressScopeRoutes = (rt: Runtime): Operation[] => [
  ...reading(rt, AddressScopes, { path: '/address-scopes', one: 'an address scope', many: 'address scopes', hidden: 'scopes' }),
  operation({
    id: 'address_scopes.create', summary: 'Create an address scope', method: 'POST', path: '/address-scopes', policy: 'create_address_scope', permit: 'object', body: CreateAddressScope, status: 201,
    handler: async ctx => {
      const b = ctx.body.address_scope;
      const project = projectFor(ctx as Context, b);
      permitAttributes(ctx as Context, 'create', 'address_scope', b, b.shared === true ? ['shared'] : [], { project_id: project, tenant_id: project });
      return transaction(rt.db, async trx => {
        const id = newId();
        await trx('address_scopes').insert({ id, project_id: project, name: b.name ?? '', ip_version: b.ip_version });
        if (b.shared === true) await grant(trx, { type: 'address_scope', id, project }, 'access_as_shared');
        return { address_scope: await writtenView(trx, ctx, AddressScopes, id) };
      });
    },
  }),
  operation({
    id: 'address_scopes.update', summary: 'Update an address scope', method: 'PUT', path: '/address-scopes/:id', policy: 'update_address_scope', permit: 'object', body: UpdateAddressScope,
    handler: async ctx => {
      const row = await find(rt.db, ctx as Context, AddressScopes, ctx.params['id'] ?? '');
      const b = ctx.body.address_scope;
      permitAttributes(ctx as Context, 'update', 'address_scope', b, ['shared'], AddressScopes.target(row));
      if (row.shared && b.shared === false) throw new BadRequest(`Unable to update address scope ${row.id} : Shared address scope can't be unshared.`, { kind: 'AddressScopeUpdateError' });
      return transaction(rt.db, async trx => {
        await trx('address_scopes').where({ id: row.id }).update({ ...(b.name === undefined ? {} : { name: b.name }), ...touched(trx) });
        if (b.shared === true) await grant(trx, { type: 'address_scope', id: row.id, project: row.project_id }, 'access_as_shared');
        return { address_scope: await writtenView(trx, ctx, AddressScopes, row.id) };
      });
    },
  }),
  operation({
    id: 'address_scopes.delete', summary: 'Delete an address scope', method: 'DELETE', path: '/address-scopes/:id', policy: 'delete_address_scope', permit: 'object', status: 204,
    handler: async ctx => {
      const row = await find(rt.db, ctx as Context, AddressScopes, ctx.params['id'] ?? '');
      ctx.permit(AddressScopes.target(row));
      await transaction(rt.db, async trx => { await trx('address_scopes').where({ id: row.id }).delete(); }).catch((error: unknown) => {
        throw brokenReference(error) === undefined ? error : new Conflict(`Unable to complete operation on address scope ${row.id}. There are one or more subnet pools in use on the address scope.`, { kind: 'AddressScopeInUse' });
      });
      return new Reply(204);
    },
  }),
];
