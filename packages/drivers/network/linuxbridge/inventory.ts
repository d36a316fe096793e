import type { Call } from '../../call.ts';
import type { HostNetworking } from '../contract.ts';
import type { Advertising } from './advertising.ts';
import type { Dhcp } from './dhcp.ts';
import type { Host } from './host.ts';
import type { Metadata } from './metadata.ts';
import type { Names } from './names.ts';
import { nftJson } from './passage.ts';

interface Listed {
  readonly chain?: { readonly table: string; readonly name: string };
  readonly set?: { readonly table: string; readonly name: string };
}

/** What of ours is on the host, read from the host alone: aliases of devices, names of namespaces, chains and sets. */
export async function takeInventory(host: Host, call: Call, n: Names, dhcp: Dhcp, metadata: Metadata, advertising: Advertising): Promise<HostNetworking> {
  const [links, spaces, chains, sets, served] = await Promise.all([
    host.links(call), host.spaces(call),
    nftJson<Listed>(host, call, ['list', 'chains', 'bridge']), nftJson<Listed>(host, call, ['list', 'sets', 'bridge']),
    metadata.served(),
  ]);
  const portIds = chains.flatMap(({ chain: c }) => c?.table === n.table && c.name.startsWith('in_') ? [c.name.slice(3)] : []);
  const groups = sets.flatMap(({ set: s }) => s?.table === n.table && s.name.startsWith('g4_') ? [s.name.slice(3)] : []);
  const networkIds = [...links.values()].flatMap(l => {
    const owner = n.ofAlias(l.ifalias);
    return owner?.kind === 'network' && l.ifname === n.bridge(owner.id) ? [owner.id] : [];
  });
  const routerIds = [...spaces].flatMap(s => {
    const owner = n.ofSpace(s);
    return owner?.kind === 'router' ? [owner.id] : [];
  });
  const known = new Set([
    ...networkIds.flatMap(id => [n.bridge(id), n.dhcpLeg(id), n.networkSpace(id)]), ...portIds.map(id => n.tap(id)), ...routerIds.map(id => n.routerSpace(id)),
  ]);
  const routerLegs = await Promise.all(routerIds.map(async id => {
    const inside = await host.links(call, n.routerSpace(id)).catch(() => new Map<string, unknown>());
    return [...inside.keys()].filter(name => /^q[rg]-/.test(name)).length;
  }));
  const legs = [...links.values()].filter(l => /^(ri|rg)-/.test(l.ifname.slice(n.prefix.length)) && n.isDevice(l.ifname));
  // A leg without a router's namespace at its other end is left over; the counts differ only then.
  const looseLegs = legs.length > routerLegs.reduce((a, b) => a + b, 0) ? legs.filter(l => l.operstate !== 'UP').map(l => l.ifname) : [];
  return {
    networks: await Promise.all(networkIds.map(async id => ({ id, bridge: n.bridge(id), dhcp: await dhcp.running(id), metadata: served.includes(id) }))),
    routers: await Promise.all(routerIds.map(async id => (await advertising.isDown(id) ? { id, silent: true } : { id }))),
    ports: portIds.map(id => ({ id, tapName: n.tap(id), plugged: links.get(n.tap(id))?.master !== undefined })),
    groups,
    strays: [
      ...[...links.keys()].filter(name => n.isDevice(name) && !known.has(name) && !legs.some(l => l.ifname === name)),
      ...looseLegs,
      ...[...spaces].filter(s => n.ofSpace(s) && !known.has(s)),
    ].sort(),
  };
}
