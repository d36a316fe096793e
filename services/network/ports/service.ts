import { duplicateOf, type Trx } from '@cumulet/db';
import { BadRequest, Conflict, newId, NotFound } from '@cumulet/wire';
import { checkQuota } from '../quotas/quota.ts';
import { defaultGroup } from '../security_groups/groups.ts';
import { sharedWith } from '../rbac/access.ts';
import { allocateFor, newMac } from '../subnets/allocation.ts';
import type { PortCreate } from './ports.ts';

export interface NewPort extends PortCreate { readonly id?: string; readonly madeByCompute?: boolean; readonly host?: string }

/** A port with its addresses and groups, in the caller's transaction. Who may ask for what was decided before. */
export async function insertPort(trx: Trx, project: string, network: { id: string; project_id: string; port_security_enabled: boolean }, b: NewPort): Promise<string> {
  const id = b.id ?? newId();
  const security = b.port_security_enabled ?? network.port_security_enabled;
  if (!security && b.security_groups?.length) throw groupsNeedSecurity();
  checkPairs(b.allowed_address_pairs, security);
  const row = {
    id, project_id: project, network_id: network.id, name: b.name ?? '', description: b.description ?? '', admin_state_up: b.admin_state_up ?? true, device_id: b.device_id ?? '', device_owner: b.device_owner ?? '', binding_host: b.host ?? b['binding:host_id'] ?? '',
    binding_profile: JSON.stringify(b['binding:profile'] ?? {}), binding_vnic_type: b['binding:vnic_type'] ?? 'normal', port_security_enabled: security, allowed_address_pairs: JSON.stringify(b.allowed_address_pairs ?? []), extra_dhcp_opts: JSON.stringify(options(b.extra_dhcp_opts)),
    dns_name: b.dns_name ?? '', qos_policy_id: b.qos_policy_id ?? null, made_by_compute: b.madeByCompute ?? false, tags: b.tags ?? [],
  };
  const mac = await withMac(trx, network.id, b.mac_address, (inner, mac_address) => inner('ports').insert({ ...row, mac_address }));
  await allocateFor(trx, { id, network_id: network.id, mac, device_owner: row.device_owner }, b.fixed_ips);
  if (security && !b.device_owner?.startsWith('network:')) await setGroups(trx, id, b.security_groups ?? [await defaultGroup(trx, project)], project);
  await checkQuota(trx, project, ['port']);
  return id;
}

/** Writes a port with the MAC address that was asked for, or with one that nobody on its network has; gives which. 409 when somebody has it. */
export async function withMac(trx: Trx, networkId: string, wanted: string | undefined, write: (inner: Trx, mac: string) => PromiseLike<unknown>): Promise<string> {
  for (let attempt = 1; ; attempt++) {
    const mac = wanted ?? newMac();
    try { await trx.transaction(async inner => { await write(inner, mac); }); return mac; } catch (error) {
      if (duplicateOf(error) !== 'ports_mac') throw error;
      if (wanted !== undefined || attempt === 16) throw new Conflict(`Unable to complete operation for network ${networkId}. The mac address ${mac} is in use.`, { kind: 'MacAddressInUse' });
    }
  }
}

export const groupsNeedSecurity = () => new BadRequest('Invalid input for operation: Port security must be enabled and port must have an IP address in order to use security groups.', { kind: 'PortSecurityAndIPRequiredForSecurityGroups' });

/** Replaces the groups of a port: its project's own, or ones that are shared with it. */
export async function setGroups(trx: Trx, portId: string, groupIds: readonly string[], project: string): Promise<void> {
  const found: { id: string }[] = await trx('security_groups').whereIn('id', [...groupIds]).where(q => q.where({ project_id: project }).orWhereRaw(sharedWith('security_groups.id'), [project])).select('id');
  const absent = groupIds.find(g => !found.some(f => f.id === g.toLowerCase()));
  if (absent !== undefined) throw new NotFound(`Security group ${absent} does not exist`, { kind: 'SecurityGroupNotFound' });
  await trx('port_security_groups').where({ port_id: portId }).delete();
  if (found.length > 0) await trx('port_security_groups').insert(found.map(g => ({ port_id: portId, security_group_id: g.id })));
}

export const options = (given: PortCreate['extra_dhcp_opts']) => (given ?? []).filter(o => o.opt_value !== null).map(o => ({ opt_name: o.opt_name, opt_value: o.opt_value, ip_version: o.ip_version ?? 4 }));

/** Removes a port; refuses the ones that routers and floating IPs hold. */
export async function deletePort(trx: Trx, port: { id: string; device_owner: string }): Promise<void> {
  if (port.device_owner.startsWith('network:router')) throw new Conflict(`Port ${port.id} cannot be deleted directly via the port API: has device owner ${port.device_owner}.`, { kind: 'ServicePortInUse' });
  if (port.device_owner === 'network:floatingip') throw new Conflict(`Port ${port.id} cannot be deleted directly via the port API: has device owner ${port.device_owner}.`, { kind: 'ServicePortInUse' });
  await trx('floating_ips').where({ port_id: port.id }).update({ port_id: null, fixed_ip: null, router_id: null, status: 'DOWN' });
  await trx('ports').where({ id: port.id }).delete();
}

export function checkPairs(pairs: PortCreate['allowed_address_pairs'], security: boolean): void {
  if (pairs?.length && !security) throw new Conflict('Port Security must be enabled in order to have allowed address pairs on a port.', { kind: 'AddressPairAndPortSecurityRequired' });
  const seen = new Set<string>();
  for (const p of pairs ?? []) {
    const key = `${p.ip_address} ${p.mac_address ?? ''}`;
    if (seen.has(key)) throw new BadRequest('Request contains duplicate address pair.', { kind: 'DuplicateAddressPairInRequest' });
    seen.add(key);
  }
}
