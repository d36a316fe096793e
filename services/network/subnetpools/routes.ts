import { duplicateOf, transaction, type Trx } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Forbidden, newId } from '@cumulet/wire';
import { Networks, touched } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { grant } from '../rbac/access.ts';
import { find, given } from '../rest/collection.ts';
import { operationsOf } from '../rest/operations.ts';
import { permitAttributes, projectFor } from '../rest/policy.ts';
import { compact, within, type Prefix } from '../subnets/addresses.ts';
import { applyRoutersOf } from '../wiring/enqueue.ts';
import { checkedBounds, checkedPrefixes, grown, texts } from './prefixes.ts';
import { checkScope, locked, onboard, poolPrefixes, shrunk } from './service.ts';
import { CreateSubnetPool, Onboard, Prefixes, SubnetPools, UpdateSubnetPool, type SubnetPoolRow } from './subnetpools.ts';

const oneDefault = (error: unknown) => (duplicateOf(error) === 'subnetpools_default' ? new BadRequest('Invalid input for operation: A default subnetpool for this IP family has already been set. Only one default may exist per IP family.', { kind: 'InvalidInput' }) : error);

export function subnetPoolRoutes(rt: Runtime): Operation[] {
  const pools = operationsOf(rt, SubnetPools, { path: '/subnetpools', one: 'a subnet pool', many: 'subnet pools' });
  const located = async (ctx: Context): Promise<SubnetPoolRow> => find(rt.db, ctx, SubnetPools, ctx.params['id'] ?? '');
  /** A pool in somebody else's scope is that scope's owner's to change. */
  const checkOwnScope = async (trx: Trx, ctx: Context, row: SubnetPoolRow) => {
    if (row.address_scope_id === null || ctx.allows('context_is_admin')) return;
    const scope: { project_id: string } | undefined = await trx('address_scopes').where({ id: row.address_scope_id }).first('project_id');
    if (scope?.project_id !== ctx.caller.projectId) throw new BadRequest(`Illegal subnetpool update : subnetpool ${row.id} cannot be updated when associated with shared address scope ${row.address_scope_id}.`, { kind: 'IllegalSubnetPoolUpdate' });
  };
  const setPrefixes = async (trx: Trx, ctx: Context, row: SubnetPoolRow, prefixes: readonly Prefix[]): Promise<string[]> => {
    await checkOwnScope(trx, ctx, row);
    if (row.address_scope_id !== null) await checkScope(trx, ctx, row.address_scope_id, { id: row.id, version: row.ip_version, prefixes });
    const named = texts(prefixes);
    await trx('subnetpools').where({ id: row.id }).update({ prefixes: trx.raw('?::cidr[]', [named]), ...touched(trx) });
    return named;
  };
  return [
    ...pools.reading(),
    pools.creating(CreateSubnetPool, {
      given: body => [body.subnetpool],
      async insert(trx, ctx, b) {
        const project = projectFor(ctx, b);
        permitAttributes(ctx, 'create', 'subnetpool', b, (['shared', 'is_default'] as const).filter(a => b[a] === true), { project_id: project, tenant_id: project });
        const { version, prefixes } = checkedPrefixes(b.prefixes);
        const bounds = checkedBounds(version, b);
        const id = newId();
        if (b.address_scope_id) await checkScope(trx, ctx, b.address_scope_id, { id, version, prefixes });
        await trx('subnetpools').insert({
          id, project_id: project, name: b.name, description: b.description ?? '', tags: b.tags ?? [], ip_version: version, prefixes: trx.raw('?::cidr[]', [texts(prefixes)]), ...bounds, default_quota: b.default_quota ?? null, is_default: b.is_default ?? false, address_scope_id: b.address_scope_id ?? null,
        });
        if (b.shared === true) await grant(trx, { type: 'subnetpool', id, project }, 'access_as_shared');
        await checkQuota(trx, project, ['subnetpool']);
        return id;
      },
      refused: oneDefault,
    }),
    pools.updating(UpdateSubnetPool, {
      permit: (ctx, row, { subnetpool: b }) => permitAttributes(ctx, 'update', 'subnetpool', b, ['is_default'], SubnetPools.target(row)),
      async change(trx, ctx, row, { subnetpool: b }) {
        const now = poolPrefixes(await locked(trx, row.id));
        const prefixes = b.prefixes === undefined ? now : grown(now, checkedPrefixes(b.prefixes).prefixes);
        const bounds = checkedBounds(row.ip_version, { min_prefixlen: b.min_prefixlen ?? row.min_prefixlen, max_prefixlen: b.max_prefixlen ?? row.max_prefixlen, default_prefixlen: b.default_prefixlen ?? row.default_prefixlen });
        await checkOwnScope(trx, ctx, row);
        const scope = b.address_scope_id === undefined ? row.address_scope_id : b.address_scope_id;
        if (scope !== null) await checkScope(trx, ctx, scope, { id: row.id, version: row.ip_version, prefixes });
        await trx('subnetpools').where({ id: row.id }).update({
          ...given({ name: b.name, description: b.description, default_quota: b.default_quota, is_default: b.is_default }),
          ...bounds, prefixes: trx.raw('?::cidr[]', [texts(prefixes)]), address_scope_id: scope, ...touched(trx),
        });
        if (scope !== row.address_scope_id) await applyRoutersOf(rt.tasks, trx, 'subnetpool_id', row.id);
      },
      refused: oneDefault,
    }),
    pools.deleting({
      remove: (trx, { id }) => trx('subnetpools').where({ id }).delete(),
      inUse: () => new BadRequest('Unable to delete subnet pool: Subnet pool has existing allocations.', { kind: 'SubnetPoolDeleteError' }),
    }),
    operation({
      id: 'subnetpools.add_prefixes', summary: 'Give a pool more addresses', method: 'PUT', path: '/subnetpools/:id/add_prefixes', policy: 'add_prefixes', permit: 'object', body: Prefixes,
      handler: async ctx => {
        const row = await located(ctx as Context);
        ctx.permit(SubnetPools.target(row));
        if (ctx.body.prefixes.length === 0) return { prefixes: row.prefixes };
        return transaction(rt.db, async trx => ({ prefixes: await setPrefixes(trx, ctx as Context, row, checkedPrefixes([...(await locked(trx, row.id)).prefixes, ...ctx.body.prefixes]).prefixes) }));
      },
    }),
    operation({
      id: 'subnetpools.remove_prefixes', summary: 'Take addresses from a pool', method: 'PUT', path: '/subnetpools/:id/remove_prefixes', policy: 'remove_prefixes', permit: 'object', body: Prefixes,
      handler: async ctx => {
        const row = await located(ctx as Context);
        ctx.permit(SubnetPools.target(row));
        if (ctx.body.prefixes.length === 0) return { prefixes: row.prefixes };
        const gone = checkedPrefixes(ctx.body.prefixes).prefixes;
        return transaction(rt.db, async trx => ({ prefixes: await setPrefixes(trx, ctx as Context, row, await shrunk(trx, row, gone)) }));
      },
    }),
    operation({
      id: 'subnetpools.onboard', summary: 'Take the subnets of a network into a pool', method: 'PUT', path: '/subnetpools/:id/onboard_network_subnets', policy: 'onboard_network_subnets', permit: 'object', body: Onboard,
      handler: async ctx => {
        const row = await located(ctx as Context);
        ctx.permit(SubnetPools.target(row));
        const network = await find(rt.db, ctx as Context, Networks, ctx.body.network_id);
        // A network that is only shared with the caller holds others' subnets.
        if (network.project_id !== ctx.caller.projectId && !ctx.allows('context_is_admin')) throw new Forbidden('Not authorized.', { kind: 'NotAuthorized' });
        return transaction(rt.db, async trx => {
          const now = poolPrefixes(await locked(trx, row.id));
          const { subnets, added } = await onboard(trx, row, network.id);
          if (!added.every(a => now.some(p => within(p, a)))) await setPrefixes(trx, ctx as Context, row, compact([...now, ...added]));
          if (row.address_scope_id !== null) await applyRoutersOf(rt.tasks, trx, 'subnetpool_id', row.id);
          return subnets;
        });
      },
    }),
  ];
}
