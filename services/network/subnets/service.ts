import type { Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, newId } from '@cumulet/wire';
import { Networks } from '../networks/networks.ts';
import { checkQuota } from '../quotas/quota.ts';
import { find } from '../rest/collection.ts';
import { projectFor } from '../rest/policy.ts';
import { allocatePrefix, checkNetworkAffinity } from '../subnetpools/service.ts';
import { SubnetPools, type SubnetPoolRow } from '../subnetpools/subnetpools.ts';
import { formatPrefix, parseIp, parsePrefix, type Prefix, type Version } from './addresses.ts';
import { addAutomatic, keepDhcpPort } from './allocation.ts';
import { badSubnets, checkApart, checkedCidr, checkedPools, checkEui64, checkExtras, checkGateway, checkModes, firstHost, isAutomatic, poolsAround } from './rules.ts';
import type { SubnetCreate } from './subnets.ts';

/** A subnet on a network that the caller owns, of a prefix that is given or that a pool gives. */
export async function createSubnet(trx: Trx, ctx: Context, b: SubnetCreate): Promise<string> {
  const network = await find(trx, ctx, Networks, b.network_id);
  const project = projectFor(ctx, b, network.project_id);
  ctx.permit({ project_id: project, tenant_id: project, 'network:project_id': network.project_id, 'network:tenant_id': network.project_id, 'networks:shared': network.shared });
  return insertSubnet(trx, b, project, await poolFor(trx, ctx, b));
}

/** The pool that is asked for: by its id, or the default one of a family. */
async function poolFor(trx: Trx, ctx: Context, b: SubnetCreate): Promise<SubnetPoolRow | undefined> {
  if (b.use_default_subnetpool && b.subnetpool_id) throw badSubnets('subnetpool_id and use_default_subnetpool cannot both be specified');
  if (b.subnetpool_id) return find(trx, ctx, SubnetPools, b.subnetpool_id);
  if (!b.use_default_subnetpool) return undefined;
  const version = b.cidr ? parsePrefix(b.cidr)?.version : b.ip_version;
  if (version === undefined) throw badSubnets('ip_version must be specified in the absence of cidr and subnetpool_id');
  const pool = await SubnetPools.select(trx, ctx.caller.projectId).where({ 't.is_default': true, 't.ip_version': version }).first() as SubnetPoolRow | undefined;
  if (!pool) throw badSubnets(`No default subnetpool found for IPv${version}`);
  return pool;
}

/** Also for the service itself: bootstrap, auto-allocated topology. */
export async function insertSubnet(trx: Trx, b: SubnetCreate, project: string, pool?: SubnetPoolRow): Promise<string> {
  if (b.cidr && b.prefixlen !== undefined && b.prefixlen !== null) throw badSubnets('cidr and prefixlen must not be supplied together');
  if (!b.cidr && !pool) throw badSubnets('a subnetpool must be specified in the absence of a cidr');
  const version = (b.ip_version ?? pool?.ip_version ?? (b.cidr?.includes(':') ? 6 : 4)) as Version;
  if (pool && version !== pool.ip_version) throw badSubnets(`Cannot allocate IPv${version} subnet from IPv${pool.ip_version} subnet pool`);
  if (!b.cidr && b.allocation_pools?.length) throw badSubnets('allocation_pools allowed only for specific subnet requests');
  const dhcp = b.enable_dhcp ?? true;
  checkModes(b, version, dhcp);
  checkExtras(b, version);
  // Subnets of one network are made one after the other: their prefixes must not overlap.
  const network: { external: boolean } | undefined = await trx('networks').where({ id: b.network_id }).forUpdate().first('external');
  const cidr = await prefixOf(trx, b, { version, dhcp, project, pool });
  checkEui64(b, cidr);
  if (pool) checkedCidr(formatPrefix(cidr), version, dhcp);
  checkApart(cidr, b.network_id, (await trx('subnets').where({ network_id: b.network_id }).select(trx.raw('cidr::text as cidr')) as { cidr: string }[]).map(s => s.cidr));
  await checkNetworkAffinity(trx, b.network_id, version, pool);

  const gateway = b.gateway_ip === undefined ? firstHost(cidr) : b.gateway_ip;
  if (gateway !== null) checkGateway(gateway, cidr, network?.external === true);
  const pools = b.allocation_pools?.length ? checkedPools(b.allocation_pools, cidr, gateway) : poolsAround(cidr, gateway);
  const id = newId();
  await trx('subnets').insert({
    id, project_id: project, network_id: b.network_id, name: b.name ?? '', description: b.description ?? '', ip_version: version, cidr: formatPrefix(cidr), gateway_ip: gateway, enable_dhcp: dhcp, allocation_pools: JSON.stringify(pools), subnetpool_id: pool?.id ?? null,
    ipv6_ra_mode: b.ipv6_ra_mode ?? null, ipv6_address_mode: b.ipv6_address_mode ?? null, dns_nameservers: b.dns_nameservers ?? [], host_routes: JSON.stringify(b.host_routes ?? []), service_types: b.service_types ?? [], dns_publish_fixed_ip: b.dns_publish_fixed_ip ?? false, tags: b.tags ?? [],
  });
  if (isAutomatic(b)) await addAutomatic(trx, { id, network_id: b.network_id, cidr: formatPrefix(cidr) });
  await keepDhcpPort(trx, b.network_id);
  await checkQuota(trx, project, ['subnet']);
  return id;
}

async function prefixOf(trx: Trx, b: SubnetCreate, o: { version: Version; dhcp: boolean; project: string; pool: SubnetPoolRow | undefined }): Promise<Prefix> {
  const given = b.cidr ? checkedCidr(b.cidr, o.version, o.dhcp) : undefined;
  if (!o.pool) return given as Prefix;
  if (given) return allocatePrefix(trx, o.pool, o.project, { cidr: given });
  if (!b.gateway_ip) return allocatePrefix(trx, o.pool, o.project, { length: b.prefixlen ?? undefined });
  // A gateway without a prefix asks for the prefix around it.
  const around = parseIp(b.gateway_ip)?.version === o.version ? parsePrefix(`${b.gateway_ip}/${b.prefixlen ?? o.pool.default_prefixlen}`) : undefined;
  if (!around) throw new BadRequest(`Invalid input for operation: gateway_ip '${b.gateway_ip}' does not match the ip_version '${o.version}'.`, { kind: 'InvalidInput' });
  return allocatePrefix(trx, o.pool, o.project, { cidr: around });
}
