import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, newId, NotFound } from '@cumulet/wire';
import { touched } from '../networks/networks.ts';
import { find, given, missing, writtenView } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { projectFor } from '../rest/policy.ts';
import { formatPrefix, parsePrefix } from '../subnets/addresses.ts';
import { applyAddressGroup } from '../wiring/enqueue.ts';
import { AddressesBody, AddressGroups, CreateAddressGroups, UpdateAddressGroup, type AddressGroupRow } from './address_groups.ts';

/** Every port that a rule of such a group filters carries all of it. */
const maxAddresses = 10_000;

/** Named lists of prefixes that security group rules may name as the far side; a change of the list is a change of every such filter. */
export function addressGroupRoutes(rt: Runtime): Operation[] {
  const groups = operationsOf(rt, AddressGroups, { path: '/address-groups', one: 'an address group', many: 'address groups' });
  /** To those with whom it is only shared, one to change is not there (as upstream). */
  const permitOwner = (ctx: Context, row: AddressGroupRow) => {
    if (row.project_id !== ctx.caller.projectId && !ctx.allows('context_is_admin')) throw missing(AddressGroups, row.id);
    ctx.permit(AddressGroups.target(row));
  };
  const change = (action: 'add' | 'remove', apply: (now: readonly string[], given: readonly string[], id: string) => string[]) => operation({
    id: `address_groups.${action}`, summary: `${action === 'add' ? 'Add addresses to' : 'Remove addresses from'} an address group`, method: 'PUT', path: `/address-groups/:id/${action}_addresses`, policy: `${action}_addresses`, permit: 'object', body: AddressesBody,
    handler: async ctx => {
      const row = await find(rt.db, ctx as Context, AddressGroups, ctx.params['id'] ?? '');
      permitOwner(ctx as Context, row);
      const { id } = row;
      const given = prefixes(ctx.body.addresses);
      return transaction(rt.db, async trx => {
        const { addresses: now } = await trx('address_groups').where({ id }).forUpdate().first(trx.raw('addresses::text[] as addresses')) as { addresses: string[] };
        const addresses = checkCount(apply(prefixes(now), given, id));
        await trx('address_groups').where({ id }).update({ addresses, ...touched(trx) });
        await applyAddressGroup(rt.tasks, trx, id);
        return { address_group: await writtenView(trx, ctx, AddressGroups, id) };
      });
    },
  });
  return [
    ...groups.reading(),
    groups.creating(CreateAddressGroups, {
      given: body => ('address_groups' in body ? body.address_groups : [body.address_group]),
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        ctx.permit({ project_id: project, tenant_id: project });
        const id = newId();
        await trx('address_groups').insert({ id, project_id: project, name: b.name ?? '', description: b.description ?? '', addresses: checkCount(prefixes(b.addresses ?? [])) });
        return id;
      },
    }),
    groups.updating(UpdateAddressGroup, {
      permit: permitOwner,
      change: async (trx, _, { id }, { address_group: b }) => void await trx('address_groups').where({ id }).update({ ...given(b), ...touched(trx) }),
    }),
    groups.deleting({
      permit: permitOwner,
      remove: (trx, { id }) => trx('address_groups').where({ id }).delete(),
      inUse: ({ id }) => new Conflict(`Address group ${id} is in use on one or more security group rules.`, { kind: 'AddressGroupInUse' }),
    }),
    change('add', (now, given, id) => {
      const known = given.filter(a => now.includes(a));
      if (known.length > 0) throw new BadRequest(`Addresses ${listed(known)} already exist in the address group ${id}.`, { kind: 'AddressesAlreadyExist' });
      return [...now, ...given];
    }),
    change('remove', (now, given, id) => {
      const unknown = given.filter(a => !now.includes(a));
      if (unknown.length > 0) throw new NotFound(`Addresses ${listed(unknown)} not found in the address group ${id}.`, { kind: 'AddressesNotFound' });
      return now.filter(a => !given.includes(a));
    }),
  ];
}

/** As they are kept: each once, without the bits behind its length. */
function prefixes(given: readonly string[]): string[] {
  return [...new Set(given.map(text => {
    const prefix = parsePrefix(text);
    if (!prefix) throw new BadRequest(`Invalid input for addresses. Reason: '${text}' is not a valid IP subnet.`);
    return formatPrefix(prefix);
  }))];
}
function checkCount(addresses: string[]): string[] {
  if (addresses.length > maxAddresses) throw new BadRequest(`Invalid input for addresses. Reason: an address group has at most ${maxAddresses} addresses.`);
  return addresses;
}
const listed = (addresses: readonly string[]) => `[${addresses.map(a => `'${a}'`).join(', ')}]`;
