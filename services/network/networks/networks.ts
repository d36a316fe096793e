import type { Trx } from '@cumulet/db';
import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { openTo, sharedWith } from '../rbac/access.ts';
import { bool, commonColumns, given, int, type Collection } from '../rest/collection.ts';
import { domainName, flag, integer, named, owned, several, tag, uuid } from '../rest/shapes.ts';

export interface NetworkRow {
  id: string; project_id: string; name: string; description: string; tags: string[]; revision_number: number; created_at: Date; updated_at: Date;
  admin_state_up: boolean; shared: boolean; external: boolean; is_default: boolean; mtu: number; port_security_enabled: boolean; dns_domain: string; qos_policy_id: string | null; subnets: string[]; scope4: string | null; scope6: string | null;
}

export const Networks: Collection<NetworkRow> = {
  name: 'network', plural: 'networks', fault: 'Network',
  select: (trx, project = '') => trx.from(trx.raw(`(select n.*, ${sharedWith('n.id')} as shared_here, ${openTo('n.id')} as open from networks n) as t`, [project, project])).select('t.*', 't.shared_here as shared',
    trx.raw('array(select s.id::text from subnets s where s.network_id = t.id order by s.created_at, s.id) as subnets'), ...[4, 6].map(version => trx.raw(`(select p.address_scope_id from subnets s join subnetpools p on p.id = s.subnetpool_id where s.network_id = t.id and s.ip_version = ${version} limit 1) as scope${version}`))),
  columns: {
    ...commonColumns, admin_state_up: bool('t.admin_state_up'), shared: bool('t.shared_here'), 'router:external': bool('t.external'), is_default: bool('t.is_default'), mtu: int('t.mtu'), port_security_enabled: bool('t.port_security_enabled'),
    status: { sql: `'ACTIVE'`, kind: 'text' }, tags: { sql: 't.tags', kind: 'tags' }, 'provider:network_type': { sql: `'local'`, kind: 'text' },
  },
  visible: (q, ctx) => void q.where(w => w.where('t.project_id', ctx.caller.projectId ?? '').orWhere('t.open', true)),
  guarded: ['provider:network_type', 'provider:physical_network', 'provider:segmentation_id'],
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id, shared: row.shared, 'router:external': row.external, 'networks:shared': row.shared }),
  view: row => ({
    id: row.id, name: row.name, tenant_id: row.project_id, admin_state_up: row.admin_state_up, mtu: row.mtu, status: 'ACTIVE', subnets: row.subnets, shared: row.shared, project_id: row.project_id,
    port_security_enabled: row.port_security_enabled, 'router:external': row.external, 'provider:network_type': 'local', 'provider:physical_network': null, 'provider:segmentation_id': null,
    ...(row.external ? { is_default: row.is_default } : {}), availability_zone_hints: [], availability_zones: row.subnets.length > 0 ? ['nova'] : [], ipv4_address_scope: row.scope4, ipv6_address_scope: row.scope6, l2_adjacency: true,
    description: row.description, dns_domain: row.dns_domain, qos_policy_id: row.qos_policy_id, tags: row.tags, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number,
  }),
};

const settable = {
  ...named, admin_state_up: flag.optional(), shared: flag.optional(), 'router:external': flag.optional(), is_default: flag.optional(), mtu: integer.pipe(z.int().min(68)).optional(),
  port_security_enabled: flag.optional(), dns_domain: domainName.optional(), qos_policy_id: uuid.nullable().optional(),
};
const network = z.strictObject({
  ...settable, ...owned, tags: z.array(tag).optional(), availability_zone_hints: z.array(z.literal('nova')).optional(), 'provider:network_type': z.string().optional(), 'provider:physical_network': z.string().nullable().optional(), 'provider:segmentation_id': z.null().optional(), vlan_transparent: z.preprocess(v => v ?? false, flag.refine(v => !v, 'is not supported')).optional(),
});
export type NetworkCreate = z.output<typeof network>;
export const CreateNetworks = shape('NetworkCreate', z.union([z.strictObject({ network }), z.strictObject({ networks: several('network', network) })]));
export const UpdateNetwork = shape('NetworkUpdate', z.strictObject({ network: z.strictObject(settable) }));

/** Its own columns; who may use it (`shared`, `router:external`) is written as policies: setNetworkAccess. */
export const networkColumns = (b: Partial<NetworkCreate>): Record<string, unknown> => given({
  name: b.name, description: b.description, admin_state_up: b.admin_state_up, is_default: b.is_default, mtu: b.mtu, port_security_enabled: b.port_security_enabled, dns_domain: b.dns_domain, qos_policy_id: b.qos_policy_id,
});
export const touched = (trx: Trx) => ({ updated_at: trx.fn.now(), revision_number: trx.raw('revision_number + 1') });
