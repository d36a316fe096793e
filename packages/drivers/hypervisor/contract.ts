import type { Readable } from 'node:stream';
import type { Call } from '../call.ts';
import type { DiskBus, Nic, RescueSpec, ServerSpec, VolumeDisk } from './spec.ts';

export type * from './spec.ts';

/**
 * A host that runs servers. Core verbs are always there; an absent capability object means that the driver cannot.
 *
 * Rules for every verb:
 * - It is idempotent by server id and resumable: killed at any point, the same call again ends as if nothing had happened.
 *   What is already so succeeds (power on what runs, detach what is not attached, destroy what is gone).
 * - It throws `DriverError` only: `absent` for a server that this host does not have (except where absent is success),
 *   `invalid` for a spec that no host could build, `unsupported`, `full`, `transient` (libvirt away), `broken`.
 * - It honours `call.signal` between its steps and while it waits.
 * - Bridges, volumes' back ends and cached images are others': they are there before and stay after.
 */
export interface HypervisorDriver {
  /** `libvirt` or `fake`. */
  readonly name: string;
  /** Throws when the host cannot run servers (no daemon, no emulator), with a reason for the operator. */
  check(call: Call): Promise<void>;
  host(call: Call): Promise<HostFacts>;
  /** Every domain that this driver made here, running or not. Other people's domains are not shown and never touched. */
  list(call: Call): Promise<Domain[]>;
  /** Calls back for what happens to servers, until the returned function is called. Events can repeat. */
  events(listener: (event: HypervisorEvent) => void): () => void;
  /** Ends connections and timers. Servers keep running. */
  close(): Promise<void>;

  readonly servers: Servers;
  readonly volumes?: Volumes;
  readonly nics?: Nics;
  readonly console?: Consoles;
  readonly snapshot?: Snapshot;
  readonly rescue?: Rescue;
  readonly resize?: Resize;
  readonly agent?: Agent;
  readonly diagnostics?: (call: Call, id: string) => Promise<Diagnostics>;
  /** Makes the guest's kernel panic, so that it dumps its memory. One that has crashed is success, one that does not run otherwise `busy`. */
  readonly crashDump?: (call: Call, id: string) => Promise<void>;
  readonly travel?: Travel;
  readonly migrate?: Migrate;
}

/** `suspended` is saved to disk; `nostate` is "this host knows no such server". */
export type PowerState = 'nostate' | 'running' | 'paused' | 'shutdown' | 'crashed' | 'suspended';

/** `OS-EXT-STS:power_state`. A suspended server shows 4 (SHUTDOWN): that is what Nova reports for libvirt's managed save. */
export const powerStateCode: Readonly<Record<PowerState, number>> =
  { nostate: 0, running: 1, paused: 3, shutdown: 4, crashed: 6, suspended: 4 };

export interface Domain {
  /** The server's UUID. */
  readonly id: string;
  readonly name: string;
  readonly state: PowerState;
}

export interface HostFacts {
  /** `hypervisor_hostname`. */
  readonly hostname: string;
  /** `hypervisor_type`: `QEMU` for both KVM and TCG, as Nova says it. */
  readonly type: string;
  /** major * 1,000,000 + minor * 1,000 + micro, e.g. 7002022. */
  readonly version: number;
  /** How guests run here; for operators and for the tests' patience. */
  readonly virtType: 'kvm' | 'qemu' | 'fake';
  readonly vcpus: number;
  readonly memoryMiB: number;
  /** Of the file system that holds the servers' disks. */
  readonly diskGiB: number;
  readonly freeDiskGiB: number;
  /** Of the driver's own domains: what they were promised (vcpus, memory) and what the file system has lost (disk). */
  readonly used: { readonly vcpus: number; readonly memoryMiB: number; readonly diskGiB: number; readonly servers: number; readonly running: number };
  readonly cpuInfo: {
    readonly arch: string;
    readonly model: string;
    readonly vendor: string;
    readonly features: readonly string[];
    readonly topology: { readonly cells: number; readonly sockets: number; readonly cores: number; readonly threads: number };
  };
  readonly uptimeSeconds: number;
  /** 1, 5 and 15 minutes. */
  readonly loadAverage: readonly [number, number, number];
  /** What `hw_firmware_type` may be here. */
  readonly firmware: readonly ('bios' | 'uefi')[];
  /** Names the storage of the servers' own disks: hosts that say the same share it. */
  readonly storageId: string;
}

export type HypervisorEvent =
  | {
      readonly kind: 'started' | 'stopped' | 'paused' | 'unpaused' | 'suspended' | 'crashed';
      readonly serverId: string;
      /** The guest did it (`poweroff`, a panic) or answered a shutdown request; false: somebody on the host forced it. */
      readonly byGuest: boolean;
    }
  /** The connection was lost and is back: events may be missing, so ask `list`. */
  | { readonly kind: 'gap' };

export interface Servers {
  /** Disks, config drive, domain; started unless `powerOn` is false. A server that exists is completed, its disks are kept. */
  create(call: Call, spec: ServerSpec, options?: { powerOn?: boolean }): Promise<void>;
  /**
   * Stops it hard and removes every trace: domain with saved state and firmware variables, disks, config drive, console log,
   * taps. Volumes are left untouched. With `keepDisks` the folder stays, for `create` to find (rebuild of a volume-backed server,
   * evacuation from shared storage); `elsewhere`: another host uses the folder, which is not touched at all. Absent is success.
   */
  destroy(call: Call, id: string, options?: { keepDisks?: boolean; elsewhere?: boolean }): Promise<void>;
  /** From shut off: redefined from the spec, then started. From suspended: resumed. */
  powerOn(call: Call, spec: ServerSpec): Promise<void>;
  /** Asks the guest (agent, else ACPI), and forces it after `timeoutSeconds` (0 = at once; default 60). Saved state is dropped. */
  powerOff(call: Call, id: string, options?: { timeoutSeconds?: number }): Promise<void>;
  /**
   * SOFT asks the guest and falls back to HARD after `timeoutSeconds` (default 120), or at once when it does not run.
   * HARD ends as running from every state, rebuilt from the spec: missing disks, devices and the domain itself are made again.
   */
  reboot(call: Call, spec: ServerSpec, type: 'SOFT' | 'HARD', options?: { timeoutSeconds?: number }): Promise<void>;
  pause(call: Call, id: string): Promise<void>;
  unpause(call: Call, id: string): Promise<void>;
  /** Memory goes to a file of the host, then the domain stops. */
  suspend(call: Call, id: string): Promise<void>;
  /** From saved memory if there is any, else a start from the spec. */
  resume(call: Call, spec: ServerSpec): Promise<void>;
  /** After the host or the daemon came back: makes the server what it was, whatever it is now. `suspended` and `shutdown` only define it. */
  restore(call: Call, spec: ServerSpec, state: 'running' | 'paused' | 'shutdown' | 'suspended'): Promise<void>;
  powerState(call: Call, id: string): Promise<PowerState>;
  /** What is really plugged in, for device metadata and for the reconciler. */
  devices(call: Call, id: string): Promise<Devices>;
}

export interface Devices {
  readonly disks: readonly {
    /** Without `/dev/`. */
    readonly device: string;
    readonly bus: DiskBus;
    readonly role: 'root' | 'ephemeral' | 'swap' | 'volume' | 'config' | 'rescue';
    /** For volumes; a root volume has both the role `root` and its id. */
    readonly volumeId?: string;
    readonly serial?: string;
    /** `0000:00:05.0` for PCI, `0:0:0:1` for SCSI; absent when not yet known. */
    readonly address?: string;
  }[];
  readonly nics: readonly { readonly mac: string; readonly tapName?: string; readonly bridge?: string; readonly address?: string }[];
}

export interface Volumes {
  /** Live and persistent. Returns the device without `/dev/`. Attached already: its present device. */
  attach(call: Call, id: string, disk: VolumeDisk): Promise<{ device: string }>;
  /** Returns when the guest has let go (unplugging is asynchronous). `busy` when it does not in time: nothing is forced. */
  detach(call: Call, id: string, volumeId: string): Promise<void>;
  /** Tells a running guest that the volume, already grown by its backend, now has this size. */
  extend(call: Call, id: string, volumeId: string, sizeBytes: number): Promise<void>;
  readonly swap?: Swap;
}

/** The storage of an attached volume goes elsewhere while the guest writes to it. It keeps its device, and its id where `to` has the same. */
export interface Swap {
  /**
   * Copies it to `to`, which is as large, and switches over: from then on the guest uses `to` alone, also after its next start. Switched already is
   * success; a copy that a former try began is gone on with. `busy` where the server does not run: only a running one can be copied.
   */
  run(call: Call, id: string, volumeId: string, to: VolumeDisk): Promise<void>;
  /** Ends a copy to `to` that is under way. What has switched stays so: the answer is whether it has. A server that is gone has not. */
  abandon(call: Call, id: string, volumeId: string, to: VolumeDisk): Promise<{ switched: boolean }>;
}

export interface Nics {
  attach(call: Call, id: string, nic: Nic): Promise<void>;
  detach(call: Call, id: string, mac: string): Promise<void>;
}

export interface Consoles {
  /** The tail of the serial console. Bytes that are not UTF-8 become U+FFFD. Default and cap 100 KiB; a server never started has ''. */
  log(call: Call, id: string, options?: { lines?: number; maxBytes?: number }): Promise<string>;
  /** Where a proxy on this host finds the screen. `absent` when the server does not run. */
  vnc(call: Call, id: string): Promise<{ host: string; port: number; websocketPort?: number }>;
  /** A unix socket that carries the first serial port both ways, one reader at a time. */
  serial?(call: Call, id: string): Promise<{ unixPath: string }>;
}

export interface Snapshot {
  /**
   * A flat copy (no backing file) of the root disk of a running or stopped image-backed server as it is at one moment, file systems
   * frozen where an agent answers. `quiesce: 'require'` fails without one. The destination must not exist or be a former try's; it
   * appears complete or not at all. Whoever gives it up half-way calls `agent.thaw`, which harms nobody.
   */
  rootDisk(call: Call, id: string, destination: string, options: {
    format: 'qcow2' | 'raw'; quiesce?: 'try' | 'require' | 'no';
  }): Promise<{ virtualSizeBytes: number; sizeBytes: number; quiesced: boolean }>;
}

export interface Rescue {
  /** Stops the server (as `powerOff` does) and starts it from `disk.rescue`, with the original `disk` second (or in its old place when stable). */
  start(call: Call, spec: ServerSpec, rescue: RescueSpec, options?: { timeoutSeconds?: number }): Promise<void>;
  /** Back to the server's own disks, running; the rescue disk is deleted. */
  stop(call: Call, spec: ServerSpec): Promise<void>;
}

/** Of the same host. A root disk only grows; a smaller one is `invalid`. */
export interface Resize {
  /** Stops it, keeps a copy of its disks aside, grows and redefines it; started unless `powerOn` is false. */
  apply(call: Call, from: ServerSpec, to: ServerSpec, options?: { powerOn?: boolean; timeoutSeconds?: number }): Promise<void>;
  /** Only keeps the copy, of a server that is off: for a move on shared storage. Once kept, it stays as it is. */
  keep(call: Call, id: string): Promise<void>;
  /** Drops the copy. */
  confirm(call: Call, id: string): Promise<void>;
  /** Puts the copy back: the disks are as they were before `apply`. */
  revert(call: Call, from: ServerSpec, options?: { powerOn?: boolean }): Promise<void>;
  /** Only grows the disks, of a server that is not defined here yet. No copy is kept. */
  grow(call: Call, from: ServerSpec, to: ServerSpec): Promise<void>;
}

/** A stopped server's own disks, to another host that does not share their storage. Both run the same driver. */
export interface Travel {
  /** Source: the disks as one stream, which says its own end. `flat`: without their base image, for a host that cannot have it. */
  send(call: Call, id: string, options?: { flat?: boolean }): Promise<Readable>;
  /** Destination: complete or not at all. A server whose disks are here already does not ask for them; `destroy` removes them. */
  receive(call: Call, spec: ServerSpec, from: () => Promise<Readable>): Promise<void>;
}

export interface Agent {
  /** True when the guest's agent answers a ping now. */
  available(call: Call, id: string): Promise<boolean>;
  /** `unsupported` when no agent answers. */
  setPassword(call: Call, id: string, user: string, password: string): Promise<void>;
  /** For consistent volume snapshots; thawed by `thaw`, always. Returns how many file systems. */
  freeze(call: Call, id: string): Promise<number>;
  thaw(call: Call, id: string): Promise<number>;
}

/** The facts of `GET /servers/{id}/diagnostics` since 2.48; older versions are lowered from it. */
export interface Diagnostics {
  readonly state: PowerState;
  readonly driver: string;
  readonly hypervisor: string;
  readonly configDrive: boolean;
  readonly uptimeSeconds: number | null;
  readonly memory: { readonly maximumMiB: number; readonly usedMiB: number };
  readonly cpus: readonly { readonly id: number; readonly timeNanoseconds: number; readonly utilisation: number | null }[];
  readonly nics: readonly {
    readonly mac: string; readonly device: string | null;
    readonly rxBytes: number; readonly rxPackets: number; readonly rxErrors: number; readonly rxDrop: number;
    readonly txBytes: number; readonly txPackets: number; readonly txErrors: number; readonly txDrop: number;
  }[];
  readonly disks: readonly {
    readonly device: string;
    readonly readBytes: number; readonly readRequests: number; readonly writeBytes: number; readonly writeRequests: number; readonly errors: number;
  }[];
}

/** Between two hosts that run the same driver; each verb runs on the host that it names. */
export interface Migrate {
  /** Destination: what the source needs to know. Makes empty disks when they are not shared. */
  prepare(call: Call, spec: ServerSpec, options: { sharedDisks: boolean }): Promise<MigrationTarget>;
  /** Source: moves the running server; returns when it runs over there and is gone here, its disks aside. Aborted, it goes on here. Gone already is success. */
  live(call: Call, spec: ServerSpec, target: MigrationTarget, options: { sharedDisks: boolean; bandwidthMiBs?: number }): Promise<void>;
  /** Source: lets a running migration finish at any price. */
  force?(call: Call, id: string): Promise<void>;
  /** Destination: removes what `prepare` made. A server that has arrived stays: the answer is whether it has. */
  abandon(call: Call, id: string, options: { sharedDisks: boolean }): Promise<{ arrived: boolean }>;
}

/** Opaque to the service, which carries it from the destination to the source. */
export type MigrationTarget = Readonly<Record<string, string | number | boolean>>;
