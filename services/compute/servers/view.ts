import { powerStateCode } from '@cumulet/drivers/hypervisor';
import type { Context } from '@cumulet/http';
import { micros, orNull, seconds } from '@cumulet/wire';
import { createHash } from 'node:crypto';
import type { PortFacts } from '../neighbours.ts';
import { shownProperties } from './image_properties.ts';
import { instanceName, isVolumeBacked, type ServerFlavor, type ServerRow } from './row.ts';
import { statusOf } from './states.ts';
import type { FullServer } from './store.ts';

export const serverLinks = (ctx: Pick<Context, 'baseUrl'>, id: string) => [{ rel: 'self', href: `${ctx.baseUrl}/v2.1/servers/${id}` }, { rel: 'bookmark', href: `${ctx.baseUrl}/servers/${id}` }];
export const bookmark = (ctx: Pick<Context, 'baseUrl'>, kind: string, id: string) => [{ rel: 'bookmark', href: `${ctx.baseUrl}/${kind}/${id}` }];

/** The same for every server of a project on a host, and tells neither. */
export const hostId = (row: Pick<ServerRow, 'host' | 'project_id'>): string => (row.host === null ? '' : createHash('sha224').update(row.project_id + row.host).digest('hex'));

/** The line of a list. */
export const brief = (ctx: Context, row: Pick<ServerRow, 'id' | 'name'>) => ({ id: row.id, name: row.name, links: serverLinks(ctx, row.id) });

export type Addresses = Record<string, { version: number; addr: string; 'OS-EXT-IPS:type': string; 'OS-EXT-IPS-MAC:mac_addr': string }[]>;
export function addressesOf(ports: readonly PortFacts[]): Addresses {
  const found: Addresses = {};
  for (const port of ports) {
    const list = found[port.network_name] ??= [];
    for (const ip of port.fixed_ips) {
      list.push(address(ip.ip_address, 'fixed', port));
      for (const f of port.floating_ips) if (f.fixed_ip_address === ip.ip_address) list.push(address(f.floating_ip_address, 'floating', port));
    }
  }
  return found;
}
const address = (addr: string, type: string, port: PortFacts) => ({ version: addr.includes(':') ? 6 : 4, addr, 'OS-EXT-IPS:type': type, 'OS-EXT-IPS-MAC:mac_addr': port.mac_address });

const groupsOf = (ports: readonly PortFacts[]) => [...new Set(ports.flatMap(p => p.security_groups.map(g => g.name)))].map(name => ({ name }));

export function embeddedFlavor(f: ServerFlavor, extraSpecs: boolean) {
  return { vcpus: f.vcpus, ram: f.memory_mb, disk: f.root_gb, ephemeral: f.ephemeral_gb, swap: f.swap_mb, original_name: f.name, ...(extraSpecs ? { extra_specs: f.extra_specs } : {}) };
}

/** Whether a host answers, as `host_status` says it. */
function hostStatus(row: FullServer): string {
  if (row.host === null) return '';
  if (row.host_state?.forced_down) return 'DOWN';
  if (row.host_state?.disabled) return 'MAINTENANCE';
  return row.host_up === true ? 'UP' : row.host_up === false ? 'DOWN' : 'UNKNOWN';
}

/** The whole view in its newest form. What the caller may not see is left out. */
export function detail(ctx: Context, row: FullServer, ports: readonly PortFacts[], o: { groups?: boolean } = {}): Record<string, unknown> {
  const admin = ctx.allows('os_compute_api:os-extended-server-attributes', { project_id: row.project_id });
  const specs = ctx.allows('os_compute_api:servers:show:flavor-extra-specs', { project_id: row.project_id });
  const embeds = ctx.dialect.has('embedded flavor');
  const status = statusOf(row.vm_state, row.task_state);
  const groups = groupsOf(ports);
  return {
    id: row.id, name: row.name, status, tenant_id: row.project_id, user_id: row.user_id, metadata: row.metadata, hostId: hostId(row),
    image: isVolumeBacked(row.devices) || row.image_id === null ? '' : { id: row.image_id, links: bookmark(ctx, 'images', row.image_id), properties: shownProperties(row.image.properties) },
    flavor: embeds ? embeddedFlavor(row.flavor, specs) : { id: row.flavor.id, links: bookmark(ctx, 'flavors', row.flavor.id) },
    created: seconds(row.created_at), updated: seconds(row.updated_at), addresses: addressesOf(ports), accessIPv4: row.access_ip_v4, accessIPv6: row.access_ip_v6, links: serverLinks(ctx, row.id),
    'OS-DCF:diskConfig': row.disk_config,
    ...(['ACTIVE', 'BUILD', 'REBUILD', 'RESIZE', 'VERIFY_RESIZE', 'MIGRATING'].includes(status) ? { progress: row.progress } : {}),
    ...(row.fault !== null && ['ERROR', 'DELETED'].includes(status) ? { fault: faultView(row, ctx.allows('context_is_admin', {})) } : {}),
    'OS-EXT-AZ:availability_zone': row.availability_zone ?? '', config_drive: row.config_drive ? 'True' : '', key_name: row.key_name,
    'OS-SRV-USG:launched_at': orNull(micros)(row.launched_at), 'OS-SRV-USG:terminated_at': orNull(micros)(row.terminated_at),
    ...(groups.length > 0 ? { security_groups: groups } : {}),
    ...(admin ? {
      'OS-EXT-SRV-ATTR:host': row.host, 'OS-EXT-SRV-ATTR:instance_name': row.host === null && row.vm_state === 'building' ? '' : instanceName(row), 'OS-EXT-SRV-ATTR:hypervisor_hostname': row.node,
      'OS-EXT-SRV-ATTR:reservation_id': row.reservation_id, 'OS-EXT-SRV-ATTR:launch_index': row.launch_index, 'OS-EXT-SRV-ATTR:hostname': row.hostname,
      'OS-EXT-SRV-ATTR:kernel_id': row.image.properties?.['kernel_id'] ?? '', 'OS-EXT-SRV-ATTR:ramdisk_id': row.image.properties?.['ramdisk_id'] ?? '',
      'OS-EXT-SRV-ATTR:root_device_name': row.root_device_name, 'OS-EXT-SRV-ATTR:user_data': row.user_data,
    } : ctx.dialect.has('hostname for all') ? { 'OS-EXT-SRV-ATTR:hostname': row.hostname } : {}),
    'OS-EXT-STS:task_state': row.task_state, 'OS-EXT-STS:vm_state': row.vm_state, 'OS-EXT-STS:power_state': powerStateCode[row.power_state],
    'os-extended-volumes:volumes_attached': row.devices.filter(d => d.volume_id !== null && d.attachment_id !== null).map(d => ({ id: d.volume_id, delete_on_termination: d.delete_on_termination })),
    ...hostStatusView(ctx, row),
    locked: row.locked_by !== null, locked_reason: row.locked_reason, description: row.description, tags: row.tags, trusted_image_certificates: row.trusted_certs,
    ...(o.groups ? { server_groups: row.group_id === null ? [] : [row.group_id] } : {}),
    pinned_availability_zone: row.pinned_zone, scheduler_hints: row.scheduler_hints,
  };
}
function hostStatusView(ctx: Context, row: FullServer): Record<string, unknown> {
  if (ctx.allows('os_compute_api:servers:show:host_status', { project_id: row.project_id })) return { host_status: hostStatus(row) };
  return ctx.allows('os_compute_api:servers:show:host_status:unknown-only', { project_id: row.project_id }) && hostStatus(row) === 'UNKNOWN' ? { host_status: 'UNKNOWN' } : {};
}
/** Details name hosts and filters; only administrators read them (CVE-2019-14433). */
function faultView(row: ServerRow, admin: boolean) {
  const { details, ...open } = row.fault as NonNullable<ServerRow['fault']>;
  return admin && details !== undefined ? { ...open, details } : open;
}
