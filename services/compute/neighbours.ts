import type { Trx } from '@cumulet/db';
import type { NetworkDriver } from '@cumulet/drivers/network';
import type { Call } from '@cumulet/drivers';
import type { VolumesForCompute } from '@cumulet/volume';
import type { Knex } from 'knex';
import type { Readable } from 'node:stream';
import type { ServerImage } from './servers/row.ts';

/** What compute asks of the services beside it; `neighbours.real.ts` binds their exports to it. Every function takes the caller's transaction. */
export interface Who { readonly projectId: string | undefined; readonly userId: string; readonly admin: boolean }

export interface ImageFacts extends ServerImage {
  readonly id: string; readonly name: string | null; readonly status: string; readonly visibility: string; readonly owner: string | null; readonly size: number | null; readonly virtual_size: number | null;
  readonly min_disk: number; readonly min_ram: number; readonly created_at: Date; readonly updated_at: Date; readonly protected: boolean;
}
export interface NewImage {
  readonly who: Who; readonly name: string; readonly visibility?: 'private' | 'shared'; readonly disk_format: string; readonly container_format: string; readonly min_disk: number; readonly min_ram: number;
  readonly properties: Readonly<Record<string, string>>;
  /** Without data: a volume-backed image of size 0, active at once. */
  readonly empty?: boolean;
}
export interface Images {
  /** Throws 404 when it is not there or not for `who`. */
  find(trx: Trx, who: Who, id: string): Promise<ImageFacts>;
  list(trx: Trx, who: Who, o: { limit: number; marker?: string; name?: string; serverId?: string; imageType?: string; backupType?: string; status?: string; minDisk?: number; minRam?: number; changesSince?: Date }): Promise<ImageFacts[]>;
  /** A queued image of the project. Quota applies. */
  create(trx: Knex.Transaction, image: NewImage): Promise<ImageFacts>;
  setProperties(trx: Knex.Transaction, who: Who, id: string, set: Readonly<Record<string, string>>, remove?: readonly string[]): Promise<ImageFacts>;
  /** Marks it as being filled; what it is shown as while a snapshot runs. */
  saving(trx: Trx, id: string): Promise<void>;
  delete(trx: Knex.Transaction, who: Who, id: string): Promise<void>;
  /** For undo and clean-up: gone or going already is success; never protected by anything. */
  discard(trx: Knex.Transaction, id: string): Promise<void>;
  read(call: Call, id: string): Promise<{ stream: Readable; size: number }>;
  /** Fills a queued image from a file of this host; afterwards it is active. Repeats: an image that is active already is left. */
  upload(call: Call, id: string, path: string): Promise<void>;
}

export interface PortFacts {
  readonly id: string; readonly network_id: string; readonly network_name: string; readonly mac_address: string; readonly status: string; readonly project_id: string; readonly device_id: string;
  readonly fixed_ips: readonly { subnet_id: string; ip_address: string }[];
  readonly floating_ips: readonly { fixed_ip_address: string; floating_ip_address: string }[];
  readonly security_groups: readonly { id: string; name: string }[];
  readonly network: { readonly mtu: number; readonly external: boolean; readonly shared: boolean; readonly project_id: string };
  readonly subnets: readonly SubnetFacts[];
}
export interface SubnetFacts { readonly id: string; readonly cidr: string; readonly gateway_ip: string | null; readonly enable_dhcp: boolean; readonly dns_nameservers: readonly string[]; readonly host_routes: readonly { destination: string; nexthop: string }[]; readonly ip_version: 4 | 6 }
export interface NetworkFacts { readonly id: string; readonly name: string; readonly project_id: string; readonly shared: boolean; readonly external: boolean; readonly subnets: number; readonly port_security_enabled: boolean }
export interface NewPort { readonly who: Who; readonly serverId: string; readonly networkId: string; readonly zone: string; readonly fixedIp?: string; readonly securityGroupIds?: readonly string[]; readonly hostname?: string; readonly id?: string }

export interface Networks {
  /** What a project may put servers on: its own networks and shared ones, not external ones unless admin. */
  available(trx: Trx, who: Who): Promise<NetworkFacts[]>;
  network(trx: Trx, who: Who, id: string): Promise<NetworkFacts>;
  /** The network that `networks: auto` makes or finds. */
  autoAllocate(trx: Knex.Transaction, who: Who): Promise<string>;
  port(trx: Trx, who: Who, id: string): Promise<PortFacts>;
  /** Ids of security groups by name or id; throws 404 `Security group X not found.` */
  groups(trx: Trx, who: Who, names: readonly string[]): Promise<string[]>;
  createPort(trx: Knex.Transaction, port: NewPort): Promise<PortFacts>;
  /** A port of the project's own becomes the server's. Throws 409 when another has it. */
  take(trx: Knex.Transaction, portId: string, serverId: string, o: { zone: string; hostname?: string }): Promise<void>;
  /** On which host the ports are plugged; undefined: on none. */
  bind(trx: Knex.Transaction, portIds: readonly string[], host: string | undefined): Promise<void>;
  /** The port stays its project's, free for another server. */
  release(trx: Knex.Transaction, portId: string): Promise<void>;
  deletePort(trx: Knex.Transaction, portId: string): Promise<void>;
  setGroups(trx: Knex.Transaction, portId: string, groupIds: readonly string[]): Promise<void>;
  /** By port id. */
  ports(trx: Trx, ids: readonly string[]): Promise<ReadonlyMap<string, PortFacts>>;
  /** Makes this host ready for the ports: bridges, DHCP, filters. By port id. Repeats. */
  plug(call: Call, portIds: readonly string[]): Promise<ReadonlyMap<string, { bridge: string; tapName: string; mtu: number }>>;
  unplug(call: Call, portIds: readonly string[]): Promise<void>;
  /** The server that has this fixed address on this network: for the metadata service. */
  serverAt(trx: Trx, networkId: string, ip: string): Promise<string | undefined>;
}
export interface Neighbours { readonly images: Images; readonly networks: Networks; readonly volumes: VolumesForCompute; readonly driver?: NetworkDriver }
