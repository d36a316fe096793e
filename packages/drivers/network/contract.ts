import type { Call } from '../call.ts';

/**
 * The network of one host: bridges, DHCP, metadata, routers, and the filter in front of every guest port.
 *
 * Every verb is a statement of how the host shall look, not a change to it: `apply…` builds what is missing,
 * corrects what differs and removes what the spec no longer names; `remove…` of what is gone succeeds. A caller that
 * crashed therefore says the same again, and a caller that is not sure what the host holds says what it wants.
 *
 * Ids are OpenStack ids (UUID with or without hyphens). Addresses are text as Neutron writes them. A spec that is not well
 * formed is refused with `DriverError('invalid')` before anything is touched, for its parts end up in rule
 * sets and configuration files.
 *
 * Addresses of both families are carried: DHCPv6 and router advertisements as a subnet's modes say, forwarding without translation, filters.
 * IPv6 ends at the host: floating IPs, SNAT and what the host forwards to the world are IPv4 only.
 */
export interface NetworkDriver {
  readonly name: string;

  /** Whether this host can do it: rights, kernel, programs. Throws `unsupported` with one line that names what is missing. */
  check(call: Call): Promise<void>;

  /** The network's bridge, DHCP and metadata. Ports named here are served by DHCP; nobody else is. */
  applyNetwork(call: Call, spec: NetworkSpec): Promise<NetworkPlace>;
  /** `busy` while a guest's tap or a router's leg is still on the bridge. */
  removeNetwork(call: Call, networkId: string): Promise<void>;

  /** The networks that the router names must have been applied: `absent` otherwise. */
  applyRouter(call: Call, spec: RouterSpec): Promise<void>;
  removeRouter(call: Call, routerId: string): Promise<void>;

  /**
   * Puts the port's filter in place and says where the hypervisor has to plug the guest. The hypervisor makes the tap
   * device (with exactly this name, on exactly this bridge) and removes it with the guest. The filter stands before
   * the tap does, and a tap of ours without a filter passes nothing. `absent` when the network was not applied here.
   */
  plugPort(call: Call, port: PortSecurity, groups: readonly GroupMembers[]): Promise<PortPlace>;
  /** Removes the tap, if the hypervisor left it, and then the filter. */
  unplugPort(call: Call, portId: string): Promise<void>;

  /** Replaces the filters of these ports and the members of these groups, all in one step; others stay as they are. */
  applySecurity(call: Call, ports: readonly PortSecurity[], groups: readonly GroupMembers[]): Promise<void>;
  /** Forgets the member lists of groups that exist no more; one that a port's filter still names stays. */
  removeGroups(call: Call, groupIds: readonly string[]): Promise<void>;

  /** Everything of this driver (of its prefix) that is on the host, for the reconciler. */
  list(call: Call): Promise<HostNetworking>;

  /** The host's own address on an external network, or null: what a client on the host uses to reach floating IPs. */
  hostAddressOf(call: Call, networkId: string): Promise<string | null>;

  /**
   * Ends all helper processes (DHCP, metadata). With `keepWires` bridges, namespaces, routers and filters stay, so that running
   * guests stay connected; without it everything that `list` shows is removed as well, taps included.
   */
  stopAll(call: Call, options: { keepWires: boolean }): Promise<void>;
}

export interface NetworkSpec {
  readonly id: string;
  /** Bytes; of the bridge, and offered to guests by DHCP. */
  readonly mtu: number;
  readonly subnets: readonly SubnetSpec[];
  /** All ports with an address from a subnet with DHCP. */
  readonly ports: readonly DhcpPort[];
  /** Where requests to 169.254.169.254 and, on networks with IPv6, to fe80::a9fe:a9fe go; null: the network has no metadata service. */
  readonly metadata: MetadataTarget | null;
  /** An external network: the place of floating IPs and router gateways. */
  readonly external: boolean;
}

export interface SubnetSpec {
  readonly id: string;
  readonly cidr: string;
  readonly gatewayIp: string | null;
  /** The address of the DHCP server in this subnet (a port of the network); null: no DHCP in this subnet. */
  readonly dhcpIp: string | null;
  readonly dnsNameservers: readonly string[];
  readonly hostRoutes: readonly Route[];
  /** Of an IPv6 subnet; absent: neither advertisements, nor addresses that guests make themselves. */
  readonly ipv6?: Ipv6Modes;
}

/** Neutron's ipv6_ra_mode (routers announce the subnet so) and ipv6_address_mode (the subnet's DHCP server acts so). */
export type Ipv6Mode = 'slaac' | 'dhcpv6-stateful' | 'dhcpv6-stateless';
export interface Ipv6Modes {
  readonly raMode: Ipv6Mode | null;
  readonly addressMode: Ipv6Mode | null;
}

export interface Route {
  readonly destination: string;
  readonly nexthop: string;
}

export interface FixedIp {
  readonly subnetId: string;
  readonly ip: string;
}

export interface DhcpPort {
  readonly id: string;
  readonly mac: string;
  readonly fixedIps: readonly FixedIp[];
  readonly hostname: string | null;
  /** Neutron's extra_dhcp_opts: option name or number, value, and of which DHCP (4 when absent). */
  readonly dhcpOptions: readonly { readonly name: string; readonly value: string; readonly version?: 4 | 6 }[];
}

/**
 * The compute metadata service behind the proxy. The proxy adds `X-Forwarded-For` (the guest's address; over IPv6 its link-local one) and
 * `X-Neutron-Network-ID`, and removes headers of these and related names (`X-Instance-ID`, `X-Tenant-ID`, …) that a guest sent.
 */
export type MetadataTarget =
  | { readonly socketPath: string; readonly headers?: Readonly<Record<string, string>> }
  | { readonly url: string; readonly headers?: Readonly<Record<string, string>> };

export interface NetworkPlace {
  readonly bridge: string;
}

export interface RouterSpec {
  readonly id: string;
  readonly gateway: RouterGateway | null;
  readonly interfaces: readonly RouterInterface[];
  /** Static routes besides the default route. */
  readonly routes: readonly Route[];
  readonly floatingIps: readonly { readonly floatingIp: string; readonly fixedIp: string }[];
  readonly portForwardings?: readonly PortForwarding[];
}

/**
 * Ports of a floating IP that lead to ports of fixed addresses (IPv4). As many inside as outside, in the same order, or one inside for
 * all; ranges that differ inside and outside are written out port by port, so they are for a caller to bound.
 */
export interface PortForwarding {
  readonly floatingIp: string;
  readonly fixedIp: string;
  /** IP protocol number of TCP, UDP or SCTP. */
  readonly protocol: number;
  readonly outside: PortRange;
  readonly inside: PortRange;
}
export interface PortRange {
  readonly min: number;
  readonly max: number;
}

export interface RouterGateway {
  readonly portId: string;
  readonly mac: string;
  readonly networkId: string;
  /** The router's own addresses on the external network, the first one being the source of SNAT. */
  readonly fixedIps: readonly { readonly ip: string; readonly cidr: string; readonly gatewayIp: string | null; readonly addressScope?: string | null }[];
  /** IPv4 only; where address scopes differ. */
  readonly enableSnat: boolean;
}

export interface RouterInterface {
  readonly portId: string;
  readonly mac: string;
  readonly networkId: string;
  readonly ip: string;
  readonly cidr: string;
  /**
   * Lets the host reach the fixed addresses of this subnet through the router (a route on the host). Ignored, with a log
   * line, where the router has no gateway, or where the subnet overlaps a network that the host already has a route
   * to, or is not a private range: a project's choice of addresses must never redirect the host's own traffic. IPv4 only.
   */
  readonly hostAccess: boolean;
  /** What the router announces to the guests of an IPv6 subnet; absent: nothing. */
  readonly advertise?: RouterAdvertisement;
  /**
   * Neutron's address scope of the subnet, null or absent: of none. Subnets of different scopes do not reach each other; subnets of the
   * external network's scope are reached from there without translation, and need none on the way out.
   */
  readonly addressScope?: string | null;
}

export interface RouterAdvertisement {
  readonly mode: Ipv6Mode;
  readonly mtu: number;
  readonly dnsNameservers: readonly string[];
}

export interface PortSecurity {
  readonly portId: string;
  readonly networkId: string;
  readonly mac: string;
  /** Fixed addresses; what the guest may use as its source besides `allowedAddressPairs`. */
  readonly fixedIps: readonly string[];
  readonly allowedAddressPairs: readonly { readonly cidr: string; readonly mac: string }[];
  /** False: no filter and no protection against spoofing (Neutron's port_security_enabled). */
  readonly portSecurity: boolean;
  /** False: the guest's link is dead (Neutron's admin_state_up). */
  readonly adminStateUp: boolean;
  /** The rules of all its groups; what none of them allows is dropped. */
  readonly rules: readonly SecurityRule[];
  /** Holds whether or not there is port security. Absent: no limits, no marks. */
  readonly qos?: PortQos;
}

/** What the QoS policy of a port (Neutron's) makes of its traffic; directions are the guest's: `egress` leaves it. */
export interface PortQos {
  readonly egress?: Bandwidth;
  readonly ingress?: Bandwidth;
  /** Differentiated services code point, 0 to 63, of every IP packet that the guest sends. */
  readonly dscp?: number;
}
export interface Bandwidth {
  /** Kilobits (1000) a second, at least 1; what is beyond is dropped. */
  readonly kbps: number;
  /** Kilobits that may pass at once after a rest. A driver may let more pass where its means are coarser. */
  readonly burstKb: number;
}

export interface SecurityRule {
  readonly direction: 'ingress' | 'egress';
  readonly ethertype: 'IPv4' | 'IPv6';
  /** IP protocol number; null: any. */
  readonly protocol: number | null;
  /** Port range for TCP, UDP, SCTP, DCCP, UDP-Lite; ICMP type and code for 1 and 58; null: any. */
  readonly portMin: number | null;
  readonly portMax: number | null;
  readonly remote: null | { readonly cidr: string } | { readonly groupId: string };
}

/** Who is in a security group that rules name as remote group: addresses or (allowed address pairs) CIDRs. */
export interface GroupMembers {
  readonly id: string;
  readonly members: readonly string[];
}

export interface PortPlace {
  readonly bridge: string;
  /** Name that the hypervisor gives the tap device; at most 15 characters. */
  readonly tapName: string;
  readonly mtu: number;
}

export interface HostNetworking {
  readonly networks: readonly { readonly id: string; readonly bridge: string; readonly dhcp: boolean; readonly metadata: boolean }[];
  /** `silent`: it ought to announce its networks to guests (IPv6), and does not. */
  readonly routers: readonly { readonly id: string; readonly silent?: boolean }[];
  /** Ports with a filter. `plugged`: the tap exists and is on its bridge. */
  readonly ports: readonly { readonly id: string; readonly tapName: string; readonly plugged: boolean }[];
  readonly groups: readonly string[];
  /** Devices and namespaces that carry the driver's prefix and belong to nothing above; `stopAll` removes them. */
  readonly strays: readonly string[];
}
