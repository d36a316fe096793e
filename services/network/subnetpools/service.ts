import type { Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Conflict } from '@cumulet/wire';
import { AddressScopes } from '../address_scopes/address_scopes.ts';
import { find } from '../rest/collection.ts';
import { overlap, parsePrefix, without, type Prefix, type Version } from '../subnets/addresses.ts';
import { cut, quotaUnit } from './prefixes.ts';
import type { SubnetPoolRow } from './subnetpools.ts';

const prefixed = (texts: readonly string[]): Prefix[] => texts.map(t => parsePrefix(t) as Prefix);
export const taken = async (trx: Trx, poolId: string): Promise<{ id: string; cidr: string; project_id: string }[]> => trx('subnets').where({ subnetpool_id: poolId }).select('id', 'project_id', trx.raw('cidr::text as cidr'));

/** One of the pool's subnets at a time, so that no two get the same addresses. */
export async function locked(trx: Trx, poolId: string): Promise<Pick<SubnetPoolRow, 'prefixes' | 'address_scope_id'>> {
  return await trx('subnetpools').where({ id: poolId }).forUpdate().first(trx.raw('prefixes::text[] as prefixes'), 'address_scope_id') as Pick<SubnetPoolRow, 'prefixes' | 'address_scope_id'>;
}

/**
 * A prefix of the pool for a subnet: the wanted one, or any of a length (default: the pool's).
 * @throws 409 when the project has its share of the pool, or nothing of that length is left
 */
export async function allocatePrefix(trx: Trx, pool: SubnetPoolRow, project: string, wanted: { cidr: Prefix } | { length: number | undefined }): Promise<Prefix> {
  const length = 'cidr' in wanted ? wanted.cidr.length : wanted.length ?? pool.default_prefixlen;
  const outside = (which: 'minimum' | 'maximum', limit: number, kind: string) => new BadRequest(`Unable to allocate subnet with prefix length ${length}, ${which} allowed prefix is ${limit}.`, { kind });
  if (length > pool.max_prefixlen) throw outside('maximum', pool.max_prefixlen, 'MaxPrefixSubnetAllocationError');
  if (length < pool.min_prefixlen) throw outside('minimum', pool.min_prefixlen, 'MinPrefixSubnetAllocationError');
  const { prefixes } = await locked(trx, pool.id);
  const used = await taken(trx, pool.id);
  if (pool.default_quota) {
    const unit = quotaUnit[pool.ip_version];
    const units = [length, ...used.filter(s => s.project_id === project).map(s => (parsePrefix(s.cidr) as Prefix).length)].reduce((sum, l) => sum + 2 ** (unit - l), 0);
    if (units > pool.default_quota) throw new Conflict('Per-project subnet pool prefix quota exceeded.', { kind: 'SubnetPoolQuotaExceeded' });
  }
  const free = without(prefixed(prefixes), prefixed(used.map(s => s.cidr)));
  if ('cidr' in wanted) {
    const { cidr } = wanted;
    // All of it must be free, though it may span prefixes that stand side by side.
    if (without([cidr], free).length > 0) throw allocation('Cannot allocate requested subnet from the available set of prefixes');
    return cidr;
  }
  const found = cut(free, length);
  if (!found) throw allocation(`Insufficient prefix space to allocate subnet size /${length}`);
  return found;
}
/** Upstream gives this fault no status, so that it is a 500 there; here it is what it means. */
const allocation = (reason: string) => new Conflict(`Failed to allocate subnet: ${reason}.`, { kind: 'SubnetAllocationError' });

/** Whether a pool may be of a scope: visible, of the same family, and no two pools of a scope have an address in common. */
export async function checkScope(trx: Trx, ctx: Context, scopeId: string, pool: { id: string; version: Version; prefixes: readonly Prefix[] }): Promise<void> {
  const scope = await find(trx, ctx, AddressScopes, scopeId);
  if (scope.ip_version !== pool.version) throw new BadRequest(`Illegal subnetpool association: subnetpool ${pool.id} cannot associate with address scope ${scopeId} because subnetpool ip_version is not ${scope.ip_version}.`, { kind: 'IllegalSubnetPoolIpVersionAssociationToAddressScope' });
  const { rows: mixed } = await trx.raw('select 1 from subnets s join subnets o on o.network_id = s.network_id and o.ip_version = s.ip_version and o.subnetpool_id is distinct from s.subnetpool_id where s.subnetpool_id = ? limit 1', [pool.id]);
  if (mixed.length > 0) throw affinity();
  const others: { prefixes: string[] }[] = await trx('subnetpools').where({ address_scope_id: scopeId }).whereNot({ id: pool.id }).select(trx.raw('prefixes::text[] as prefixes'));
  if (others.some(o => prefixed(o.prefixes).some(a => pool.prefixes.some(b => overlap(a, b))))) throw new Conflict('Failed to associate address scope: subnetpools within an address scope must have unique prefixes.', { kind: 'AddressScopePrefixConflict' });
}
export const affinity = () => new BadRequest('Subnets of the same address family hosted on the same network must all participate in the same address scope.', { kind: 'NetworkAddressScopeAffinityError' });

/** Subnets of one family on one network come from one pool, or from pools of one scope. `pool` undefined: from none. */
export async function checkNetworkAffinity(trx: Trx, networkId: string, version: Version, pool: Pick<SubnetPoolRow, 'id' | 'address_scope_id'> | undefined): Promise<void> {
  const others: { subnetpool_id: string | null; address_scope_id: string | null }[] = await trx('subnets as s').leftJoin('subnetpools as p', 'p.id', 's.subnetpool_id').where({ 's.network_id': networkId, 's.ip_version': version }).select('s.subnetpool_id', 'p.address_scope_id');
  const scope = others.find(o => o.address_scope_id !== null)?.address_scope_id ?? null;
  if (scope !== null) { if (pool?.address_scope_id !== scope) throw affinity(); return; }
  if (others.some(o => o.subnetpool_id !== (pool?.id ?? null))) throw new BadRequest('Subnets hosted on the same network must be allocated from the same subnet pool.', { kind: 'NetworkSubnetPoolAffinityError' });
}

/** The subnets of a network become the pool's, with their prefixes. */
export async function onboard(trx: Trx, pool: SubnetPoolRow, networkId: string): Promise<{ subnets: { id: string; cidr: string }[]; added: Prefix[] }> {
  const subnets: { id: string; cidr: string }[] = await trx('subnets').where({ network_id: networkId, ip_version: pool.ip_version }).orderBy('created_at').select('id', trx.raw('cidr::text as cidr'));
  const used = prefixed((await taken(trx, pool.id)).map(s => s.cidr));
  for (const s of subnets) {
    if (used.some(u => overlap(u, parsePrefix(s.cidr) as Prefix))) throw new BadRequest(`Illegal subnetpool update : Onboarding subnet ${s.id}: ${s.cidr} conflicts with allocated prefixes in subnet pool ${pool.id}.`, { kind: 'IllegalSubnetPoolUpdate' });
  }
  await trx('subnets').whereIn('id', subnets.map(s => s.id)).update({ subnetpool_id: pool.id });
  return { subnets, added: prefixed(subnets.map(s => s.cidr)) };
}

/** What is left of a pool when prefixes are taken from it. */
export async function shrunk(trx: Trx, pool: SubnetPoolRow, gone: readonly Prefix[]): Promise<Prefix[]> {
  const used = prefixed((await taken(trx, pool.id)).map(s => s.cidr));
  const now = prefixed((await locked(trx, pool.id)).prefixes);
  if (used.some(u => gone.some(g => overlap(u, g)))) throw new BadRequest('Illegal update to prefixes: One or more the prefixes to be removed is in use by a subnet.', { kind: 'IllegalSubnetPoolPrefixUpdate' });
  return without(now, gone);
}
export const poolPrefixes = (pool: Pick<SubnetPoolRow, 'prefixes'>): Prefix[] => prefixed(pool.prefixes);
