import type { Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, newId } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { grant } from '../rbac/access.ts';
import { operationsOf } from '../rest/operations.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { AddressScopes, CreateAddressScope, UpdateAddressScope } from './address_scopes.ts';

/** A scope says whose subnets have addresses of one plan: routers let those reach each other without translation, and no others. */
export function addressScopeRoutes(rt: Runtime): Operation[] {
  const scopes = operationsOf(rt, AddressScopes, { path: '/address-scopes', one: 'an address scope', many: 'address scopes' });
  return [
    ...scopes.reading(),
    scopes.creating(CreateAddressScope, {
      given: body => [body.address_scope],
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        permitAttributes(ctx, 'create', 'address_scope', b, b.shared === true ? ['shared'] : [], { project_id: project, tenant_id: project });
        const id = newId();
        await trx('address_scopes').insert({ id, project_id: project, name: b.name ?? '', ip_version: b.ip_version });
        if (b.shared === true) await grant(trx, { type: 'address_scope', id, project }, 'access_as_shared');
        return id;
      },
    }),
    scopes.updating(UpdateAddressScope, {
      permit: (ctx, row, { address_scope: b }) => permitAttributes(ctx, 'update', 'address_scope', b, ['shared'], AddressScopes.target(row)),
      async change(trx, _, row, { address_scope: b }) {
        if (row.shared && b.shared === false) throw new BadRequest(`Unable to update address scope ${row.id} : Shared address scope can't be unshared.`, { kind: 'AddressScopeUpdateError' });
        await trx('address_scopes').where({ id: row.id }).update({ ...(b.name === undefined ? {} : { name: b.name }), ...touched(trx) });
        if (b.shared === true) await grant(trx, { type: 'address_scope', id: row.id, project: row.project_id }, 'access_as_shared');
      },
    }),
    scopes.deleting({
      remove: (trx, { id }) => trx('address_scopes').where({ id }).delete(),
      inUse: ({ id }) => new Conflict(`Unable to complete operation on address scope ${id}. There are one or more subnet pools in use on the address scope.`, { kind: 'AddressScopeInUse' }),
    }),
  ];
}
