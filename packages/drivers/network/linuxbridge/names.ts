import { createHash } from 'node:crypto';

/**
 * What things of ours are called on the host. Device names hold 15 characters, so they carry the prefix, a kind and as
 * much as fits of a hash of the id; a hash, because ids made in the same second may begin alike. The whole id is the
 * device's alias (`ip link show`); namespaces, chains and sets carry it in their names.
 */
export interface Names {
  readonly prefix: string;
  bridge(networkId: string): string;
  tap(portId: string): string;
  /** Host end of the link into the network's DHCP and metadata namespace. */
  dhcpLeg(networkId: string): string;
  /** Host end of a router's link to a project's network. */
  routerLeg(portId: string): string;
  /** Host end of a router's link to its external network. */
  gatewayLeg(portId: string): string;
  networkSpace(networkId: string): string;
  routerSpace(routerId: string): string;
  /** The tables of ours, one in family `bridge` and one in family `inet`. */
  readonly table: string;
  readonly tapWildcard: string;
  alias(kind: 'network' | 'port', id: string): string;
  /** The reverse of `alias`. */
  ofAlias(alias: string | undefined): { kind: string; id: string } | undefined;
  /** The reverse of `networkSpace` and `routerSpace`. */
  ofSpace(space: string): { kind: string; id: string } | undefined;
  /** Whether a device name has the form of ours. */
  isDevice(name: string): boolean;
}

const IFNAMSIZ = 15;

export function namesOf(prefix: string): Names {
  const digits = IFNAMSIZ - prefix.length - 3;
  const device = (kind: string) => (id: string) => `${prefix}${kind}-${shortHash(id, digits)}`;
  const ofAlias = new RegExp(`^${prefix}:(network|port):([0-9a-f-]+)$`, 'i');
  const ofSpace = new RegExp(`^${prefix}-(network|router)-([0-9a-f-]+)$`, 'i');
  const ofDevice = new RegExp(`^${prefix}(br|tp|dh|ri|rg)-[0-9a-z]{${digits}}$`);
  const taken = (match: RegExpMatchArray | null | undefined) => match ? { kind: match[1] as string, id: match[2] as string } : undefined;
  return {
    prefix,
    bridge: device('br'), tap: device('tp'), dhcpLeg: device('dh'), routerLeg: device('ri'), gatewayLeg: device('rg'),
    networkSpace: id => `${prefix}-network-${id}`,
    routerSpace: id => `${prefix}-router-${id}`,
    table: `cumulet_${prefix}`,
    tapWildcard: `${prefix}tp-*`,
    alias: (kind, id) => `${prefix}:${kind}:${id}`,
    ofAlias: alias => taken(alias?.match(ofAlias)),
    ofSpace: space => taken(space.match(ofSpace)),
    isDevice: name => ofDevice.test(name),
  };
}

/** Lower-case letters and digits, a little over five bits each. */
export function shortHash(id: string, digits: number): string {
  const n = createHash('sha256').update(id.toLowerCase()).digest().readBigUInt64BE() % 36n ** BigInt(digits);
  return n.toString(36).padStart(digits, '0');
}

/** A stable, locally administered MAC for a device of ours, so that it does not change with the ports that join a bridge. */
export function macOf(id: string): string {
  const bytes = createHash('sha256').update(`mac ${id.toLowerCase()}`).digest().subarray(0, 5);
  return ['0e', ...Array.from(bytes, b => b.toString(16).padStart(2, '0'))].join(':');
}
