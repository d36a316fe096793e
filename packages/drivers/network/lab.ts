import type { NetworkDriver, PortPlace } from './contract.ts';

/** What a test may do on the host beside the driver. */
export interface NetworkLab {
  readonly driver: NetworkDriver;
  /** Plays the hypervisor: makes the tap device of a port and a guest behind it. Absent: nothing travels in this lab. */
  readonly guest?: (place: PortPlace, mac: string) => Promise<Guest>;
  /** Does what the hypervisor does, where there are no real guests. */
  readonly setPlugged?: (portId: string, plugged: boolean) => void;
  /** A program's traffic from the host itself. */
  readonly host?: Station;
  /** Requests to this socket are answered with their own headers as JSON. */
  readonly metadataSocket: string;
  close(): Promise<void>;
}

export interface Station {
  ping(ip: string): Promise<boolean>;
  /** The body of `http://ip:port/path`, or undefined when there is no connection within a second. */
  get(url: string, headers?: Readonly<Record<string, string>>): Promise<string | undefined>;
}

export interface Guest extends Station {
  /** Name of the network namespace that plays the guest. */
  readonly space: string;
  /** Ask for an address; returns what the DHCP client was told, or undefined. */
  dhcp(): Promise<Record<string, string> | undefined>;
  /** Take an address without asking. */
  take(ip: string, gateway?: string): Promise<void>;
  /** Wait for an IPv6 address that routers let it make itself; which one, or undefined when none has come in time. */
  autoconfigured(): Promise<string | undefined>;
  /** Ask DHCPv6 for an address, or (`stateless`) for everything but one; what it was told, or undefined. */
  dhcp6(stateless?: boolean): Promise<{ address?: string; dns?: string } | undefined>;
  /** Take an IPv6 address of a /64 without asking. */
  take6(ip: string, gateway?: string): Promise<void>;
  setMac(mac: string): Promise<void>;
  /** Answer HTTP on this port. */
  serve(port: number): Promise<void>;
  /** Echo requests, ten a second, while `during` runs after the first second; how many were answered after `during` ended. */
  pingThrough(ip: string, during: () => Promise<void>): Promise<{ before: number; after: number }>;
  unplug(): Promise<void>;
}
