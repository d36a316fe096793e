import { transaction, type Trx } from '@cumulet/db';
import type { Runtime } from '@cumulet/service';
import { newId } from '@cumulet/wire';
import { grant } from '../rbac/access.ts';
import { Routers, type RouterRow } from '../routers/routers.ts';
import { addInterface, insertRouter, setGateway } from '../routers/service.ts';
import { defaultGroup } from '../security_groups/groups.ts';
import { insertSubnet } from '../subnets/service.ts';
import { applyRouter } from '../wiring/enqueue.ts';

/** The cloud's first networks: `public` for floating IPs, `private` for everybody's first server, a router between them. Nothing when `public` is there. */
export async function bootstrapNetworks(rt: Runtime, seed: { readonly projects: { readonly admin: string; readonly demo: string } }): Promise<void> {
  const { mtu, privateCidr, publicCidr } = rt.settings.network;
  await transaction(rt.db, async trx => {
    await trx.raw(`select pg_advisory_xact_lock(hashtext('network bootstrap'))`);
    if (await trx('networks').where({ name: 'public', external: true }).first('id')) return;
    const [publicId, privateId] = [newId(), newId()];
    await trx('networks').insert([
      { id: publicId, project_id: seed.projects.admin, name: 'public', is_default: true, mtu, port_security_enabled: false },
      { id: privateId, project_id: seed.projects.admin, name: 'private', mtu },
    ]);
    const { rows: [range] } = await trx.raw(`select host(network(?::inet) + 1) as host, host(network(?::inet) + 2) as first, host(broadcast(?::inet) - 1) as last`, [publicCidr, publicCidr, publicCidr]);
    await grant(trx, { type: 'network', id: publicId, project: seed.projects.admin }, 'access_as_external');
    await grant(trx, { type: 'network', id: privateId, project: seed.projects.admin }, 'access_as_shared');
    // The first address is the host's own; routers and floating IPs come after it. Guests take no part: no DHCP.
    await insertSubnet(trx, { network_id: publicId, name: 'public-subnet', cidr: publicCidr, enable_dhcp: false, gateway_ip: range.host, allocation_pools: [{ start: range.first, end: range.last }] }, seed.projects.admin);
    const subnetId = await insertSubnet(trx, { network_id: privateId, name: 'private-subnet', cidr: privateCidr }, seed.projects.admin);
    const routerId = await insertRouter(trx, seed.projects.admin, { name: 'router1' }, rt.settings.host);
    await setGateway(trx, { id: routerId, gateway_port_id: null, external_network_id: null, host: rt.settings.host }, { network_id: publicId });
    await addInterface(trx, await Routers.select(trx).whereRaw('t.id = ?', [routerId]).first() as unknown as RouterRow, { subnet_id: subnetId }, seed.projects.admin);
    await applyRouter(rt.tasks, trx, routerId, rt.settings.host);
    await openDoors(trx, seed.projects.demo);
  });
}

/** The first user's servers answer ssh and ping at once; the default groups of other projects are closed, as upstream's. */
async function openDoors(trx: Trx, project: string): Promise<void> {
  const group = { project_id: project, security_group_id: await defaultGroup(trx, project), direction: 'ingress', ethertype: 'IPv4' };
  await trx('security_group_rules').insert([
    { ...group, id: newId(), protocol: 'tcp', port_range_min: 22, port_range_max: 22, description: 'ssh' },
    { ...group, id: newId(), protocol: 'icmp', description: 'ping' },
  ]);
}
