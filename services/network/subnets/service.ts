import type { Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Conflict, newId } from '@cumulet/wire';
import { Networks } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { find } from '../rest/collection.ts';
import { cidr4 } from '../rest/shapes.ts';
import { keepDhcpPort } from './allocation.ts';
import type { SubnetCreate } from './subnets.ts';

const invalid = (reason: string) => new BadRequest(`Invalid input for operation: ${reason}.`, { kind: 'InvalidInput' });

/** A subnet on a network that the caller owns. IPv4 only, and from no pool: both refused in words. */
export async function createSubnet(trx: Trx, ctx: Context, b: SubnetCreate): Promise<string> {
  const network = await find(trx, ctx, Networks, b.network_id);
  const project = b.project_id ?? b.tenant_id ?? network.project_id;
  ctx.permit({ project_id: project, tenant_id: project, 'network:project_id': network.project_id, 'network:tenant_id': network.project_id, 'networks:shared': network.shared });
  return insertSubnet(trx, b, project);
}

/** For the service itself: bootstrap, auto-allocated topology. */
export async function insertSubnet(trx: Trx, b: SubnetCreate, project: string): Promise<string> {
  if (b.subnetpool_id || b.use_default_subnetpool || b.prefixlen !== undefined) throw invalid('subnet pools are not available in this cloud; give a cidr');
  if (b.ip_version === 6 || b.cidr?.includes(':') || b.ipv6_ra_mode || b.ipv6_address_mode) throw invalid('IPv6 subnets are not available in this cloud');
  if (b.cidr === undefined) throw invalid('a subnetpool must be specified in the absence of a cidr');
  if (!cidr4.safeParse(b.cidr).success) throw new BadRequest(`Invalid input for cidr. Reason: '${b.cidr}' is not a valid IP subnet.`);
  const { rows: [facts] } = await trx.raw(`select network(?::inet)::text as cidr, masklen(?::inet) as len, host(network(?::inet) + 1) as first, host(broadcast(network(?::inet)) - 1) as last`, Array(4).fill(b.cidr));
  if (facts.len > 30) throw invalid(`the prefix length ${facts.len} leaves no addresses for ports`);
  if (facts.len < 8) throw invalid('the prefix is too short');
  const gateway = b.gateway_ip === undefined ? facts.first as string : b.gateway_ip;
  const { rows: overlapping } = await trx.raw('select id, cidr::text from subnets where network_id = ? and cidr && ?::cidr', [b.network_id, facts.cidr]);
  if (overlapping.length > 0) throw invalid(`Requested subnet with cidr: ${facts.cidr} for network: ${b.network_id} overlaps with another subnet`);
  if (gateway !== null) await checkGateway(trx, gateway, facts.cidr, b.network_id);
  const id = newId();
  const pools = b.allocation_pools?.length ? await checkedPools(trx, b.allocation_pools, facts.cidr, gateway) : await poolsAround(trx, facts.first, facts.last, gateway);
  await trx('subnets').insert({
    id, project_id: project, network_id: b.network_id, name: b.name ?? '', description: b.description ?? '', cidr: facts.cidr, gateway_ip: gateway, enable_dhcp: b.enable_dhcp ?? true, allocation_pools: JSON.stringify(pools),
    dns_nameservers: b.dns_nameservers ?? [], host_routes: JSON.stringify(b.host_routes ?? []), service_types: b.service_types ?? [], dns_publish_fixed_ip: b.dns_publish_fixed_ip ?? false, tags: b.tags ?? [],
  });
  await keepDhcpPort(trx, b.network_id);
  await checkQuota(trx, project, ['subnet']);
  return id;
}

/** Outside the subnet is allowed, as in neutron, but for external networks: a router reaches the world by their gateway. */
export async function checkGateway(trx: Trx, gateway: string, cidr: string, networkId: string): Promise<void> {
  const { rows: [g] } = await trx.raw(`select ?::inet << ?::cidr as inside, ?::inet in (host(network(?::cidr))::inet, host(broadcast(?::cidr))::inet) as edge, external from networks where id = ?`, [gateway, cidr, gateway, cidr, cidr, networkId]);
  if (g?.edge || (g?.external && !g.inside)) throw new BadRequest(`Gateway ${gateway} is not valid on subnet ${cidr}.`, { kind: 'InvalidInput' });
}

async function poolsAround(trx: Trx, first: string, last: string, gateway: string | null): Promise<{ start: string; end: string }[]> {
  if (gateway === null) return [{ start: first, end: last }];
  const { rows: [r] } = await trx.raw(`select ?::inet > ?::inet as before, ?::inet < ?::inet as after, host(?::inet - 1) as lower, host(?::inet + 1) as upper`, [gateway, first, gateway, last, gateway, gateway]);
  const inside = await trx.raw('select ?::inet between ?::inet and ?::inet as within', [gateway, first, last]);
  if (!inside.rows[0].within) return [{ start: first, end: last }];
  return [...(r.before ? [{ start: first, end: r.lower as string }] : []), ...(r.after ? [{ start: r.upper as string, end: last }] : [])];
}

export async function checkedPools(trx: Trx, pools: readonly { start: string; end: string }[], cidr: string, gateway: string | null): Promise<{ start: string; end: string }[]> {
  for (const p of pools) {
    const { rows: [r] } = await trx.raw(`select ?::inet <= ?::inet as ordered, ?::inet << ?::cidr and ?::inet << ?::cidr as inside, coalesce(?::inet between ?::inet and ?::inet, false) as gateway`, [p.start, p.end, p.start, cidr, p.end, cidr, gateway, p.start, p.end]);
    if (!r.ordered) throw new BadRequest(`The allocation pool ${p.start}-${p.end} is not valid.`, { kind: 'InvalidAllocationPool' });
    if (!r.inside) throw new BadRequest(`The allocation pool ${p.start}-${p.end} spans beyond the subnet cidr ${cidr}.`, { kind: 'OutOfBoundsAllocationPool' });
    if (r.gateway) throw new Conflict(`Gateway ip ${gateway} conflicts with allocation pool ${p.start}-${p.end}.`, { kind: 'GatewayConflictWithAllocationPools' });
  }
  for (const [i, a] of pools.entries()) for (const b of pools.slice(i + 1)) {
    const { rows: [r] } = await trx.raw('select ?::inet <= ?::inet and ?::inet <= ?::inet as overlap', [a.start, b.end, b.start, a.end]);
    if (r.overlap) throw new Conflict(`Found overlapping allocation pools: ${a.start}-${a.end}, ${b.start}-${b.end} for subnet ${cidr}.`, { kind: 'OverlappingAllocationPools' });
  }
  return [...pools];
}
