/**
 * What a server is to a hypervisor: everything that is needed to build it from nothing, and nothing of how it got here.
 * The compute service makes a spec from its rows at each step; a driver keeps none. It is plain JSON, so a task can save it.
 *
 * Units: `…MiB` and `…GiB` are binary (2^20, 2^30 bytes), `…Bytes` are bytes, `…Seconds` seconds. Paths are absolute and on this host.
 */
export interface ServerSpec {
  /** The server's UUID, with hyphens, lower case: it is the domain's UUID, the folder's name and the guest's DMI serial. */
  readonly id: string;
  /** The domain's name (`OS-EXT-SRV-ATTR:instance_name`), e.g. `instance-0000002a`. Letters, digits, `-`, `_`, `.` only. */
  readonly name: string;
  /** For the metadata element that operators read in `virsh dumpxml`; any text. */
  readonly displayName: string;
  readonly project?: { readonly id: string; readonly name?: string };
  readonly user?: { readonly id: string; readonly name?: string };
  readonly flavorName?: string;

  readonly vcpus: number;
  readonly memoryMiB: number;
  readonly root: RootDisk;
  /** `disk.eph0`, `disk.eph1` … in this order. */
  readonly ephemerals?: readonly EphemeralDisk[];
  /** `disk.swap`; 0 or absent is none. */
  readonly swapMiB?: number;
  /** Attached volumes other than the root. */
  readonly volumes?: readonly VolumeDisk[];
  readonly nics?: readonly Nic[];
  /** Present means that the guest gets a CD labelled `config-2`. */
  readonly configDrive?: ConfigDrive;

  /** The image's `hw_*` and `os_*` properties as Glance holds them: bus, model, machine type, firmware, agent, video … */
  readonly imageProperties?: Readonly<Record<string, string>>;
  /** The flavor's extra specs: `quota:*` and `hw:*` are read here, others ignored. */
  readonly extraSpecs?: Readonly<Record<string, string>>;
  /** Present while the server is rescued: the domain is then built from the rescue disk. */
  readonly rescue?: RescueSpec;
}

export type RootDisk =
  | {
      readonly kind: 'image';
      /** A read-only cached base on this host, already inspected (`@cumulet/diskimage`). Never written; the overlay names it. */
      readonly imagePath: string;
      readonly imageFormat: ImageFormat;
      /** The flavor's root disk; 0 is the image's own virtual size. Smaller than the image is refused (`invalid`). */
      readonly sizeGiB: number;
    }
  | { readonly kind: 'volume'; readonly volume: VolumeDisk };

/** What a base may be: other formats are converted before they come to the cache. `iso` boots as a CD beside an empty disk. */
export type ImageFormat = 'raw' | 'qcow2' | 'iso';

export interface EphemeralDisk {
  readonly sizeGiB: number;
  /** A file system to make, labelled `ephemeral0`…; absent = ext4, `none` = blank. */
  readonly guestFormat?: 'ext2' | 'ext3' | 'ext4' | 'vfat' | 'none';
  readonly bus?: DiskBus;
}

export type DiskBus = 'virtio' | 'scsi' | 'sata' | 'ide' | 'usb' | 'fdc';
export type DiskDevice = 'disk' | 'cdrom' | 'floppy' | 'lun';

export interface VolumeDisk {
  /** Becomes the disk's serial, by which guests find it (`/dev/disk/by-id/virtio-<first 20 characters>`). */
  readonly volumeId: string;
  readonly connection: Connection;
  /** Without `/dev/`; absent = the next free name of the bus. */
  readonly device?: string;
  /** Absent = the image's `hw_disk_bus`, else virtio. */
  readonly bus?: DiskBus;
  readonly type?: DiskDevice;
  /** 0 is first. Absent or negative: never booted from. */
  readonly bootIndex?: number;
  readonly readOnly?: boolean;
  /** More than one server may hold it: no cache, no lock. */
  readonly multiattach?: boolean;
  /** Pass the guest's discards on to the backend. */
  readonly discard?: boolean;
  readonly qos?: DiskLimits;
}

/** Of any connection: the bytes are a LUKS container that the hypervisor opens. The key itself is never here: the host asks for it by its id. */
interface Encrypted {
  readonly encrypted?: boolean;
  readonly encryption_key_id?: string;
}

/** Cinder's connection info, as `os-initialize_connection` and attachments give it. Secrets in it never reach a log. */
export type Connection =
  | { readonly driver_volume_type: 'local'; readonly data: Encrypted & { readonly device_path: string; readonly format?: 'raw' | 'qcow2' } }
  | {
      readonly driver_volume_type: 'nfs';
      /** The file is `<mount_point_base>/<md5 of export>/<name>`, Nova's own rule; with `device_path` that path is taken instead. */
      readonly data: Encrypted & {
        readonly export: string;
        readonly name: string;
        readonly format?: 'raw' | 'qcow2';
        readonly mount_point_base?: string;
        readonly device_path?: string;
      };
    }
  | {
      readonly driver_volume_type: 'iscsi';
      readonly data: Encrypted & {
        readonly target_portal: string;
        readonly target_iqn: string;
        readonly target_lun: number;
        readonly auth_method?: string;
        readonly auth_username?: string;
        readonly auth_password?: string;
      };
    }
  | {
      readonly driver_volume_type: 'rbd';
      readonly data: Encrypted & {
        /** `pool/image`. */
        readonly name: string;
        readonly hosts: readonly string[];
        readonly ports: readonly string[];
        readonly auth_enabled?: boolean;
        readonly auth_username?: string;
        readonly secret_uuid?: string;
        /** The cephx key; with it the driver makes the secret itself when libvirt has none of `secret_uuid`. */
        readonly keyring?: string;
      };
    }
  /** A volume of the fake backend, for the fake hypervisor alone. */
  | { readonly driver_volume_type: 'fake'; readonly data: Encrypted & { readonly name: string } };

/** Zero or absent is no limit. */
export interface DiskLimits {
  readonly total_bytes_sec?: number;
  readonly read_bytes_sec?: number;
  readonly write_bytes_sec?: number;
  readonly total_iops_sec?: number;
  readonly read_iops_sec?: number;
  readonly write_iops_sec?: number;
}

export interface Nic {
  readonly portId: string;
  readonly mac: string;
  /** A bridge that exists (the network driver made it). */
  readonly bridge: string;
  /** The host's end, at most 15 characters, e.g. `tap` + the first 11 of the port id. The hypervisor makes and removes it. */
  readonly tapName: string;
  /** Absent = the image's `hw_vif_model`, else virtio. */
  readonly model?: string;
  readonly mtu?: number;
}

/**
 * A ready ISO file, which the driver copies, or the files to make one of, by path on the CD
 * (`openstack/latest/meta_data.json`). Binary content is base64.
 */
export type ConfigDrive =
  | { readonly path: string }
  | { readonly files: Readonly<Record<string, string | { readonly base64: string }>> };

export interface RescueSpec {
  readonly imagePath: string;
  readonly imageFormat: ImageFormat;
  /** The rescue image's own: `hw_rescue_device` or `hw_rescue_bus` make the rescue stable (every disk keeps its place). */
  readonly imageProperties?: Readonly<Record<string, string>>;
  /** With the rescue password; absent = the server's own config drive. */
  readonly configDrive?: ConfigDrive;
}
