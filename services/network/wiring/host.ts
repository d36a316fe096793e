import { DriverError, type Call } from '@cumulet/drivers';
import type { PortPlace } from '@cumulet/drivers/network';
import type { NetworkDeps } from './deps.ts';
import { groupMembers, networkSpec, portSecurity, routerSpec } from './specs.ts';

/** Whether something of the network is bound to this host: a guest's port, a router's. */
const isNeededHere = async (deps: NetworkDeps, networkId: string): Promise<boolean> => await deps.db('ports').where({ network_id: networkId, binding_host: deps.host }).first('id') !== undefined;

/** What a change of the rows means for this host: the network as it shall be, or gone when nothing of it is here any more. */
export async function reviseNetworkHere(deps: NetworkDeps, call: Call, networkId: string): Promise<void> {
  if (await isNeededHere(deps, networkId)) await applyNetworkHere(deps, call, networkId);
  else await forgetNetworkHere(deps, call, networkId);
}

/** A guest that is still on its way out holds the network; the next look finds it gone. */
async function forgetNetworkHere(deps: NetworkDeps, call: Call, networkId: string): Promise<void> {
  await deps.driver.removeNetwork(call, networkId).catch((error: unknown) => {
    if (!(error instanceof DriverError) || error.kind !== 'busy') throw error;
    call.log.debug({ network: networkId }, 'a network that is needed no more is still in use on this host');
  });
}

/**
 * Every so often: what rows need here no more goes (their last port left, or a task that should have said so was lost), and what
 * somebody else took away comes back (a helper that died, rules that were flushed with the host's firewall).
 */
export async function reconcileHost(deps: NetworkDeps, call: Call, { afterRestart = false } = {}): Promise<void> {
  const here = await deps.driver.list(call);
  const { rows } = await deps.db.raw(`select p.network_id::text as id, bool_or(n.external) as external, array_agg(p.id::text) filter (where p.status = 'ACTIVE' and p.device_owner like 'compute:%') as guests,
      exists (select 1 from subnets s where s.network_id = p.network_id and s.enable_dhcp and (s.ip_version = 4 or s.ipv6_address_mode like 'dhcpv6%' or (s.ipv6_address_mode is null and s.ipv6_ra_mode is null))) as dhcp,
      exists (select 1 from tasks k where k.live and k.resource_type in ('network', 'router', 'server', 'server-host') and k.resource_id = any (array_agg(p.device_id) || p.network_id::text)) as held
    from ports p join networks n on n.id = p.network_id where p.binding_host = ? group by p.network_id`, [deps.host]);
  const filtered = new Set(here.ports.map(p => p.id));
  for (const wanted of rows as { id: string; external: boolean; guests: string[] | null; dhcp: boolean; held: boolean }[]) {
    const found = here.networks.find(n => n.id === wanted.id);
    const bare = (wanted.guests ?? []).filter(id => !filtered.has(id));
    if (found && (found.dhcp || !wanted.dhcp) && (found.metadata || wanted.external || deps.metadataSocket === null) && bare.length === 0) continue;
    // Who is at work on the network, or on the first guest or router that needs it here, makes it, and is not through yet. Guests that run have had a whole one.
    if (wanted.held && wanted.guests === null) continue;
    // Guests that a restart of the host has stopped are not plugged yet: nothing to warn of.
    call.log[afterRestart ? 'info' : 'warn']({ network: wanted.id, found, filtersMissing: bare.length }, 'a network of this host was not as it should be; it is made anew');
    await applyNetworkHere(deps, call, wanted.id);
    await secureHere(deps, call, bare);
  }
  for (const network of here.networks) if (!await isNeededHere(deps, network.id)) await forgetNetworkHere(deps, call, network.id);
  const { rows: groups } = await deps.db.raw(`select id::text from security_groups where id = any(?::uuid[]) union all select id::text from address_groups where id = any(?::uuid[])`, [[...here.groups], [...here.groups]]) as { rows: { id: string }[] };
  const gone = here.groups.filter(id => !groups.some(g => g.id === id));
  if (gone.length > 0) await deps.driver.removeGroups(call, gone);
  const routers: { id: string }[] = await deps.db('routers').where({ host: deps.host, admin_state_up: true }).select('id');
  for (const { id } of routers) if (!here.routers.some(r => r.id === id && r.silent !== true)) await applyRouterHere(deps, call, id);
}

/** The network as it shall be on this host; gone when its row is. */
export async function applyNetworkHere(deps: NetworkDeps, call: Call, networkId: string): Promise<void> {
  const spec = await networkSpec(deps.db, networkId, deps.metadataSocket);
  if (spec) await deps.driver.applyNetwork(call, spec);
  else await deps.driver.removeNetwork(call, networkId);
}

/** An administrator has taken it from this host. */
const isElsewhere = async (deps: NetworkDeps, routerId: string): Promise<boolean> => await deps.db('routers').where({ id: routerId }).whereNot({ host: deps.host }).first('id') !== undefined;

export async function applyRouterHere(deps: NetworkDeps, call: Call, routerId: string): Promise<void> {
  const spec = await isElsewhere(deps, routerId) ? undefined : await routerSpec(deps.db, routerId, deps.hostAccess);
  if (!spec) return deps.driver.removeRouter(call, routerId);
  for (const networkId of new Set([...spec.interfaces.map(i => i.networkId), ...(spec.gateway ? [spec.gateway.networkId] : [])])) await applyNetworkHere(deps, call, networkId);
  await deps.driver.applyRouter(call, spec);
  await deps.db('ports').where({ device_id: routerId }).whereLike('device_owner', 'network:router%').update({ status: 'ACTIVE' });
  await deps.db('floating_ips').where({ router_id: routerId }).update({ status: 'ACTIVE' });
}

export async function secureHere(deps: NetworkDeps, call: Call, portIds: readonly string[]): Promise<void> {
  const ports = await portSecurity(deps.db, portIds, deps.host);
  if (ports.length > 0) await deps.driver.applySecurity(call, ports, await groupMembers(deps.db, ports));
}

/** Before a guest starts: its networks, and the filter of each of its ports. Says where each has to be plugged. Repeats safely. */
export async function plugPorts(deps: NetworkDeps, call: Call, portIds: readonly string[]): Promise<Map<string, PortPlace>> {
  const places = new Map<string, PortPlace>();
  const ports = await portSecurity(deps.db, portIds, undefined);
  for (const networkId of new Set(ports.map(p => p.networkId))) await applyNetworkHere(deps, call, networkId);
  const groups = await groupMembers(deps.db, ports);
  for (const port of ports) places.set(port.portId, await deps.driver.plugPort(call, port, groups));
  await deps.db('ports').whereIn('id', [...portIds]).update({ status: 'ACTIVE', updated_at: deps.db.fn.now() });
  // Others' filters may name the groups of these ports.
  const touched = groups.map(g => g.id);
  if (touched.length > 0) await deps.driver.applySecurity(call, [], groups);
  return places;
}

/** After a guest is gone, or its port has left it. */
export async function unplugPorts(deps: NetworkDeps, call: Call, portIds: readonly string[]): Promise<void> {
  for (const id of portIds) await deps.driver.unplugPort(call, id);
  // One that is bound elsewhere by now is that host's to speak of.
  await deps.db('ports').whereIn('id', [...portIds]).whereIn('binding_host', ['', deps.host]).update({ status: 'DOWN', updated_at: deps.db.fn.now() });
}

/** At the start of a worker: everything that belongs on this host, and nothing that does not. */
export async function restoreHost(deps: NetworkDeps, call: Call): Promise<void> {
  const here = await deps.driver.list(call);
  const wanted: { network_id: string }[] = await deps.db('ports').where({ binding_host: deps.host }).distinct('network_id');
  const networks = new Set(wanted.map(w => w.network_id));
  const routers: { id: string }[] = await deps.db('routers').where({ host: deps.host }).select('id');
  const ports: { id: string }[] = await deps.db('ports').where({ binding_host: deps.host }).select('id');
  const known = new Set(ports.map(p => p.id));
  for (const port of here.ports) if (!known.has(port.id)) await deps.driver.unplugPort(call, port.id);
  for (const router of here.routers) if (!routers.some(r => r.id === router.id)) await deps.driver.removeRouter(call, router.id);
  for (const id of networks) await applyNetworkHere(deps, call, id);
  for (const router of routers) await applyRouterHere(deps, call, router.id);
  await reconcileHost(deps, call, { afterRestart: true });
}
