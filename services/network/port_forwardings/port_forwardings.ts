import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { id, int, text, type Collection } from '../rest/collection.ts';
import { integer, ipv4, name, projectId, uuid } from '../rest/shapes.ts';

/** Ranges of ports, both ends included. As many inside as outside, or one inside for all. */
export interface Ports { readonly external_min: number; readonly external_max: number; readonly internal_min: number; readonly internal_max: number }
export interface PortForwardingRow extends Ports { id: string; floatingip_id: string; internal_port_id: string; internal_ip_address: string; protocol: Protocol; description: string }
export type Protocol = 'tcp' | 'udp' | 'sctp';

const single = (min: number, max: number) => (min === max ? min : null);

/** Those of one floating IP: they are a part of it, and have no project of their own. */
export const forwardingsOf = (floatingIp: { id: string; project_id: string }): Collection<PortForwardingRow> => ({
  name: 'port_forwarding', plural: 'port_forwardings', fault: 'Port Forwarding', absent: { kind: 'PortForwardingNotFound' },
  select: trx => trx('port_forwardings as t').where('t.floatingip_id', floatingIp.id).select('t.*', trx.raw('host(t.internal_ip) as internal_ip_address')),
  columns: {
    id: id('t.id'), internal_port_id: id('t.internal_port_id'), protocol: text('t.protocol'), description: text('t.description'), internal_ip_address: text('host(t.internal_ip)'),
    external_port: int('case when t.external_min = t.external_max then t.external_min end'), internal_port: int('case when t.internal_min = t.internal_max then t.internal_min end'),
    external_port_range: text(`t.external_min || ':' || t.external_max`), internal_port_range: text(`t.internal_min || ':' || t.internal_max`),
  },
  // Who sees the floating IP sees what it forwards.
  visible: () => undefined,
  target: () => ({ 'ext_parent:project_id': floatingIp.project_id, 'ext_parent:tenant_id': floatingIp.project_id, project_id: floatingIp.project_id, tenant_id: floatingIp.project_id }),
  view: row => ({
    id: row.id, protocol: row.protocol, internal_port_id: row.internal_port_id, internal_ip_address: row.internal_ip_address, internal_port: single(row.internal_min, row.internal_max), external_port: single(row.external_min, row.external_max),
    internal_port_range: `${row.internal_min}:${row.internal_max}`, external_port_range: `${row.external_min}:${row.external_max}`, description: row.description,
  }),
});

const port = integer.pipe(z.int().min(1).max(65_535)).nullable().optional();
const range = z.union([z.string(), z.int()]).transform(String).pipe(z.string().regex(/^\d{1,5}(:\d{1,5})?$/, 'is no range of ports')).nullable().optional();
const given = {
  internal_port: port, external_port: port, internal_port_range: range, external_port_range: range, internal_ip_address: ipv4.optional(), description: name.optional(),
  // Others have no ports, or none that are translated.
  protocol: z.string().transform(p => p.toLowerCase()).pipe(z.enum(['tcp', 'udp', 'sctp'])).optional(),
};
export type PortForwardingGiven = z.output<z.ZodObject<typeof given & { internal_port_id: z.ZodOptional<typeof uuid> }>>;
export const CreatePortForwarding = shape('PortForwardingCreate', z.strictObject({ port_forwarding: z.strictObject({ ...given, internal_port_id: uuid, protocol: given.protocol.unwrap(), project_id: projectId.optional(), tenant_id: projectId.optional() }) }));
export const UpdatePortForwarding = shape('PortForwardingUpdate', z.strictObject({ port_forwarding: z.strictObject({ ...given, internal_port_id: uuid.optional() }) }));
