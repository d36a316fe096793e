export interface LinuxBridgeSettings {
  /** First letters of everything of ours on the host, 2 to 5 lower-case letters and digits: two clouds on one machine need two. */
  readonly prefix: string;
  /** Folder of configuration files (made when missing). */
  readonly stateDir: string;
  /** Folder of pid files (made when missing). */
  readonly runDir: string;
  /**
   * What the host forwards for external networks: nothing, connections from guests to outside (masqueraded), or both ways.
   * Floating IPs are reachable from the host in any case.
   */
  readonly forward: 'none' | 'out' | 'both';
  /** Where guests may never connect to through the host, besides the host's own networks (only meaningful with `forward`). */
  readonly forwardDeny: readonly string[];
  /** The host takes the gateway address of external subnets, and routes to subnets that ask for host access. */
  readonly hostAccess: boolean;
  /** Seconds. */
  readonly dhcpLeaseSeconds: number;
}

export const linuxBridgeDefaults = {
  prefix: 'cum',
  forward: 'none',
  // Private, shared and link-local ranges: what is there belongs to the operator (cloud metadata services included).
  forwardDeny: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '169.254.0.0/16'],
  hostAccess: true,
  dhcpLeaseSeconds: 86_400,
} as const satisfies Partial<LinuxBridgeSettings>;
