import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { sharedWith } from '../rbac/access.ts';
import { address, bool, commonColumns, id, int, text, type Collection } from '../rest/collection.ts';
import { cidr, distinct, flag, integer, ip, named, owned, several, tag, uuid } from '../rest/shapes.ts';

export interface SubnetRow {
  id: string; project_id: string; name: string; description: string; tags: string[]; revision_number: number; created_at: Date; updated_at: Date; network_id: string; ip_version: 4 | 6; cidr: string; gateway: string | null; subnetpool_id: string | null;
  ipv6_ra_mode: string | null; ipv6_address_mode: string | null; enable_dhcp: boolean; allocation_pools: { start: string; end: string }[]; dns_nameservers: string[]; host_routes: { destination: string; nexthop: string }[]; service_types: string[]; dns_publish_fixed_ip: boolean;
  network_project: string; network_shared: boolean; network_external: boolean;
}

export const Subnets: Collection<SubnetRow> = {
  name: 'subnet', plural: 'subnets', fault: 'Subnet',
  select: (trx, project = '') => trx('subnets as t').join(trx.raw(`(select n.id, n.project_id, n.external, ${sharedWith('n.id')} as shared from networks n) as n`, [project]), 'n.id', 't.network_id')
    .select('t.*', trx.raw('host(t.gateway_ip) as gateway'), 'n.project_id as network_project', 'n.shared as network_shared', 'n.external as network_external'),
  columns: {
    ...commonColumns, network_id: id('t.network_id'), ip_version: int('t.ip_version'), cidr: text('t.cidr::text'), gateway_ip: address('t.gateway_ip'), enable_dhcp: bool('t.enable_dhcp'), shared: bool('n.shared'), 'router:external': bool('n.external'), subnetpool_id: id('t.subnetpool_id'),
    ipv6_ra_mode: text('t.ipv6_ra_mode'), ipv6_address_mode: text('t.ipv6_address_mode'), tags: { sql: 't.tags', kind: 'tags' },
  },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('n.project_id', ctx.caller.projectId ?? '').orWhere('n.shared', true)),
  guarded: ['segment_id'],
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, 'network:project_id': row.network_project, 'network:tenant_id': row.network_project, 'networks:shared': row.network_shared, shared: row.network_shared }),
  view: row => ({
    id: row.id, name: row.name, tenant_id: row.project_id, network_id: row.network_id, ip_version: row.ip_version, subnetpool_id: row.subnetpool_id, enable_dhcp: row.enable_dhcp, ipv6_ra_mode: row.ipv6_ra_mode, ipv6_address_mode: row.ipv6_address_mode, gateway_ip: row.gateway, cidr: row.cidr,
    allocation_pools: row.allocation_pools, host_routes: row.host_routes, dns_nameservers: row.dns_nameservers, description: row.description, service_types: row.service_types, dns_publish_fixed_ip: row.dns_publish_fixed_ip, segment_id: null,
    tags: row.tags, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number, project_id: row.project_id, 'router:external': row.network_external,
  }),
};

const pool = z.strictObject({ start: ip, end: ip });
const route = z.strictObject({ destination: cidr, nexthop: ip });
const mode = z.enum(['dhcpv6-stateful', 'dhcpv6-stateless', 'slaac']).nullable().optional();
/** Neutron adds `compute:` to the prefixes letter by letter: each of them begins a service type, too. */
const deviceOwner = /^(?:network:|neutron:|baremetal:|[compute:])/;
const settable = {
  ...named, enable_dhcp: flag.optional(), gateway_ip: ip.nullable().optional(), allocation_pools: z.array(pool).max(50).optional(), dns_nameservers: distinct(ip, n => `Duplicate nameserver '${n}'`).max(50).nullable().optional(), host_routes: distinct(route, r => `Duplicate hostroute '${r}'`).max(100).nullable().optional(),
  service_types: z.array(z.string().max(255).refine(t => deviceOwner.test(t), 'does not correspond to a valid device owner')).optional(), dns_publish_fixed_ip: flag.optional(),
};
const subnet = z.strictObject({
  ...settable, ...owned, network_id: uuid, ip_version: integer.pipe(z.literal([4, 6])).optional(), cidr: z.string().max(64).nullable().optional(), tags: z.array(tag).optional(), subnetpool_id: uuid.nullable().optional(), use_default_subnetpool: flag.optional(),
  prefixlen: integer.pipe(z.int().min(0).max(128)).nullable().optional(), ipv6_ra_mode: mode, ipv6_address_mode: mode, segment_id: z.null().optional(),
});
export type SubnetCreate = z.output<typeof subnet>;
export const CreateSubnets = shape('SubnetCreate', z.union([z.strictObject({ subnet }), z.strictObject({ subnets: several('subnet', subnet) })]));
export const UpdateSubnet = shape('SubnetUpdate', z.strictObject({ subnet: z.strictObject(settable) }));
