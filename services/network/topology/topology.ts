import type { Trx } from '@cumulet/db';
import type { Tasks } from '@cumulet/tasks';
import { Conflict, newId } from '@cumulet/wire';
import { defaultPolicy } from '../qos/binding.ts';
import { addInterface, deleteRouter, insertRouter, removeInterface, setGateway } from '../routers/service.ts';
import { Routers, type RouterRow } from '../routers/routers.ts';
import { insertSubnet } from '../subnets/service.ts';
import { applyNetwork, applyRouter, routerHost } from '../wiring/enqueue.ts';

const name = 'auto_allocated_network';

/** The network, subnet and router that a project gets for `networks: auto`; made once, however many ask at once. */
export async function autoTopology(tasks: Tasks, trx: Trx, projectId: string): Promise<{ networkId: string }> {
  await trx.raw(`select pg_advisory_xact_lock(hashtext(?))`, [`auto topology ${projectId}`]);
  const known: { id: string } | undefined = await trx('networks').where({ project_id: projectId, name }).first('id');
  if (known) return { networkId: known.id };
  const external: { id: string } | undefined = await trx('networks').where({ external: true }).orderBy('is_default', 'desc').orderBy('created_at').first('id');
  if (!external) throw new Conflict('Unable to allocate a topology: no external network is there.', { kind: 'AutoAllocationFailure' });
  const mtu: { mtu: number } = await trx('networks').where({ id: external.id }).first('mtu');
  const networkId = newId();
  await trx('networks').insert({ id: networkId, project_id: projectId, name, mtu: mtu.mtu, qos_policy_id: await defaultPolicy(trx, projectId, networkId) });
  const subnetId = await insertSubnet(trx, { network_id: networkId, cidr: await freeCidr(trx), name: 'auto_allocated_subnet_v4' }, projectId);
  const host = await routerHost(trx);
  const routerId = await insertRouter(trx, projectId, { name: 'auto_allocated_router' }, host);
  await setGateway(trx, { id: routerId, gateway_port_id: null, external_network_id: null, host }, { network_id: external.id });
  await addInterface(trx, await Routers.select(trx).whereRaw('t.id = ?', [routerId]).first() as unknown as RouterRow, { subnet_id: subnetId }, projectId);
  await applyRouter(tasks, trx, routerId, host);
  return { networkId };
}

/**
 * The other way: router, subnet and network. None there is success, as in neutron.
 * @throws the database's foreign key error when somebody uses the network
 */
export async function removeTopology(tasks: Tasks, trx: Trx, projectId: string): Promise<void> {
  await trx.raw(`select pg_advisory_xact_lock(hashtext(?))`, [`auto topology ${projectId}`]);
  const network: { id: string } | undefined = await trx('networks').where({ project_id: projectId, name }).first('id');
  if (!network) return;
  const { rows } = await trx.raw(`select p.device_id as router, a.subnet_id as subnet from ports p join ip_allocations a on a.port_id = p.id where p.network_id = ? and p.device_owner = 'network:router_interface'`, [network.id]);
  for (const one of rows as { router: string; subnet: string }[]) {
    const router = await Routers.select(trx).whereRaw('t.id = ?', [one.router]).first() as unknown as RouterRow;
    await removeInterface(trx, router, { subnet_id: one.subnet });
    await deleteRouter(tasks, trx, router);
  }
  await applyNetwork(tasks, trx, network.id);
  await trx('ports').where({ network_id: network.id, device_owner: 'network:dhcp' }).delete();
  await trx('networks').where({ id: network.id }).delete();
}

/** A /24 of 10.128.0.0/9 that no subnet of the cloud uses, so that the host may route to it. */
async function freeCidr(trx: Trx): Promise<string> {
  const { rows } = await trx.raw(`select ('10.' || (128 + i / 256) || '.' || (i % 256) || '.0/24') as cidr from generate_series(0, 32767) i where not exists (select 1 from subnets s where s.cidr && ('10.' || (128 + i / 256) || '.' || (i % 256) || '.0/24')::cidr) limit 1`);
  if (!rows[0]) throw new Conflict('No free subnet is left.', { kind: 'AutoAllocationFailure' });
  return rows[0].cidr;
}
