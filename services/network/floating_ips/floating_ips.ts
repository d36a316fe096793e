import { seconds, shape } from '@cumulet/wire';
import { z } from 'zod';
import { address, commonColumns, id, text, type Collection } from '../rest/collection.ts';
import { ip, ipv4, name, owned, tag, uuid } from '../rest/shapes.ts';

export interface FloatingIpRow {
  id: string; project_id: string; description: string; tags: string[]; revision_number: number; created_at: Date; updated_at: Date; floating_network_id: string; floating_port_id: string; address: string; port_id: string | null; fixed: string | null; router_id: string | null; status: string; dns_name: string; dns_domain: string;
  port_details: { name: string; network_id: string; mac_address: string; admin_state_up: boolean; status: string; device_id: string; device_owner: string } | null; port_forwardings: object[];
}
export const FloatingIps: Collection<FloatingIpRow> = {
  name: 'floatingip', plural: 'floatingips', fault: 'Floating IP', absent: { kind: 'FloatingIPNotFound' },
  select: trx => trx('floating_ips as t').leftJoin('ports as p', 'p.id', 't.port_id').select('t.*', trx.raw('host(t.floating_ip) as address'), trx.raw('host(t.fixed_ip) as fixed'),
    trx.raw(`case when p.id is null then null else jsonb_build_object('name', p.name, 'network_id', p.network_id, 'mac_address', p.mac_address::text, 'admin_state_up', p.admin_state_up, 'status', p.status, 'device_id', p.device_id, 'device_owner', p.device_owner) end as port_details`),
    trx.raw(`coalesce((select jsonb_agg(jsonb_build_object('id', f.id, 'protocol', f.protocol, 'internal_port_id', f.internal_port_id, 'internal_ip_address', host(f.internal_ip))
      || case when f.internal_min = f.internal_max then jsonb_build_object('internal_port', f.internal_min) else jsonb_build_object('internal_port_range', f.internal_min || ':' || f.internal_max) end
      || case when f.external_min = f.external_max then jsonb_build_object('external_port', f.external_min) else jsonb_build_object('external_port_range', f.external_min || ':' || f.external_max) end
      order by f.created_at, f.id) from port_forwardings f where f.floatingip_id = t.id), '[]') as port_forwardings`)),
  columns: { ...commonColumns, floating_network_id: id('t.floating_network_id'), floating_ip_address: address('t.floating_ip'), fixed_ip_address: address('t.fixed_ip'), port_id: id('t.port_id'), router_id: id('t.router_id'), status: text('t.status'), tags: { sql: 't.tags', kind: 'tags' } },
  visible: (q, ctx) => void q.where('t.project_id', ctx.caller.projectId ?? ''),
  target: row => ({ project_id: row.project_id, tenant_id: row.project_id }),
  view: row => ({
    id: row.id, tenant_id: row.project_id, floating_ip_address: row.address, floating_network_id: row.floating_network_id, router_id: row.router_id, port_id: row.port_id, fixed_ip_address: row.fixed, status: row.status, project_id: row.project_id, description: row.description,
    port_details: row.port_details, port_forwardings: row.port_forwardings, dns_name: row.dns_name, dns_domain: row.dns_domain, tags: row.tags, created_at: seconds(row.created_at), updated_at: seconds(row.updated_at), revision_number: row.revision_number,
  }),
};
const association = { port_id: uuid.nullable().optional(), fixed_ip_address: ip.nullable().optional(), description: name.optional() };
export const CreateFloatingIp = shape('FloatingIpCreate', z.strictObject({ floatingip: z.strictObject({ ...association, ...owned, floating_network_id: uuid, floating_ip_address: ipv4.optional(), subnet_id: uuid.optional(), tags: z.array(tag).optional(), qos_policy_id: z.null().optional(), dns_name: z.string().max(63).optional(), dns_domain: z.string().max(255).optional() }) }));
export const UpdateFloatingIp = shape('FloatingIpUpdate', z.strictObject({ floatingip: z.strictObject({ ...association, qos_policy_id: z.null().optional() }) }));
