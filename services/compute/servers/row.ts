import type { PowerState } from '@cumulet/drivers/hypervisor';
import type { VmState } from './states.ts';

/** What a server keeps of the flavor that it was made from. MiB and GiB. */
export interface ServerFlavor {
  readonly num: number; readonly id: string; readonly name: string; readonly memory_mb: number; readonly vcpus: number; readonly root_gb: number; readonly ephemeral_gb: number; readonly swap_mb: number;
  readonly extra_specs: Readonly<Record<string, string>>; readonly description?: string | null; readonly rxtx_factor?: number;
}
/** What a server keeps of its image, so that it can be built again when the image is gone (LP 2002606). */
export interface ServerImage {
  readonly id?: string; readonly name?: string | null; readonly disk_format?: string | null; readonly container_format?: string | null; readonly checksum?: string | null;
  readonly size?: number | null; readonly min_disk?: number; readonly min_ram?: number;
  readonly properties?: Readonly<Record<string, string>>;
}
export interface Fault { readonly code: number; readonly message: string; readonly details?: string; readonly created: string }

/** A row of `servers`. */
export interface ServerRow {
  id: string; num: number; project_id: string; user_id: string; name: string; description: string | null; hostname: string; reservation_id: string; launch_index: number;
  vm_state: VmState; task_state: string | null; task_id: string | null; power_state: PowerState; progress: number;
  host: string | null; node: string | null; availability_zone: string | null; pinned_zone: string | null;
  image_id: string | null; image: ServerImage;
  flavor: ServerFlavor; old_flavor: ServerFlavor | null; new_flavor: ServerFlavor | null; vcpus: number; memory_mb: number;
  key_name: string | null; key_data: string | null; key_type: string | null; user_data: string | null; config_drive: boolean; personality: { path: string; contents: string }[];
  metadata: Record<string, string>; tags: string[];
  /** What only we need: `base_image` is what the root disk was made from when that is not the image. */
  system: { base_image?: ServerImage; former_state?: VmState; backing?: string; [key: string]: unknown };
  locked_by: 'owner' | 'admin' | null; locked_reason: string | null;
  access_ip_v4: string; access_ip_v6: string; disk_config: string; root_device_name: string | null; trusted_certs: string[] | null; scheduler_hints: Record<string, unknown>; group_id: string | null;
  fault: Fault | null; password: string | null; shelved_image_id: string | null; shelved_at: Date | null;
  /** While it is rescued: the image that it runs from. */
  rescue: ServerImage | null;
  /** How it has to come back after the host was restarted. */
  wanted_power: 'running' | 'paused' | 'shutdown' | 'suspended';
  launched_at: Date | null; terminated_at: Date | null; deleted: boolean; deleted_at: Date | null; created_at: Date; updated_at: Date;
}
export interface BlockDevice {
  id: string; server_id: string; source_type: string; destination_type: string; boot_index: number | null; device_name: string | null; device_type: string | null; disk_bus: string | null; guest_format: string | null;
  image_id: string | null; snapshot_id: string | null; volume_id: string | null; volume_size: number | null; volume_type: string | null; delete_on_termination: boolean; tag: string | null; attachment_id: string | null;
  /** What the backend said at the last connect; may hold secrets and never leaves the service. */
  connection: Record<string, unknown> | null; created_at: Date;
}
export interface ServerPort { server_id: string; port_id: string; network_id: string; position: number; created_by_us: boolean; tag: string | null }

export const instanceName = (row: Pick<ServerRow, 'num'>): string => `instance-${row.num.toString(16).padStart(8, '0')}`;
/** The lane of a server's tasks: one after the other. */
export const laneOf = (id: string): string => `server/${id}`;
export const hostQueue = (host: string): string => `host/${host}`;
/** A root disk that is a volume, or the image's own. */
export const rootDevice = (devices: readonly BlockDevice[]): BlockDevice | undefined => devices.find(d => d.boot_index === 0);
export const isVolumeBacked = (devices: readonly BlockDevice[]): boolean => rootDevice(devices)?.destination_type === 'volume';
