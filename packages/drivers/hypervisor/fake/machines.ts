import { hostname } from 'node:os';
import { DriverError } from '../../errors.ts';
import type { Devices, HostFacts, HypervisorEvent, PowerState, ServerSpec } from '../contract.ts';
import { planDisks } from '../disk-plan.ts';
import { hardware } from '../hardware.ts';
import { checkId, checkSpec } from '../validate.ts';
import { imageSize } from './disk-files.ts';
import type { FakeServer, FakeState } from './state.ts';

const GiB = 2 ** 30;
/** A console of the last boots is enough. */
const keptHistory = 40;

interface MachinesOptions {
  readonly storageId: string;
  readonly state: FakeState;
  readonly checkImages: boolean;
  now(): number;
  emit(event: HypervisorEvent): void;
}

/** The fake's servers and what can be done to them, with the same outcomes as libvirt's. */
export class Machines {
  readonly #state: FakeState;
  readonly #now: () => number;
  readonly #emit: (event: HypervisorEvent) => void;
  readonly #checkImages: boolean;
  readonly #storageId: string;
  /** Images were looked at once: thousands of servers share a few. */
  readonly #images = new Map<string, Promise<number>>();

  constructor({ state, checkImages, now, emit, storageId }: MachinesOptions) {
    this.#storageId = storageId;
    this.#checkImages = checkImages;
    this.#state = state;
    this.#now = now;
    this.#emit = emit;
  }

  all(): FakeServer[] {
    return this.#state.all();
  }

  find(id: string): FakeServer | undefined {
    checkId(id);
    return this.#state.get(id);
  }

  require(id: string): FakeServer {
    const server = this.find(id);
    if (server === undefined) throw new DriverError('absent', 'The server does not exist on this host.', { detail: id });
    return server;
  }

  change(id: string, changes: Partial<FakeServer>): FakeServer {
    const server = { ...this.require(id), ...changes };
    this.#state.put(server);
    return server;
  }

  isActive(id: string): boolean {
    return ['running', 'paused'].includes(this.require(id).state);
  }

  hasAgent(id: string): boolean {
    const { spec, state } = this.require(id);
    return state === 'running' && hardware(spec).guestAgent;
  }

  withAgent(id: string): FakeServer {
    if (!this.hasAgent(id)) throw new DriverError('unsupported', 'The guest agent of the server does not answer.');
    return this.require(id);
  }

  /** Makes or redefines it; a running one keeps what is plugged in. */
  async define(spec: ServerSpec): Promise<void> {
    checkSpec(spec);
    const disks = planDisks(spec);
    const needed = await this.#rootBytes(spec);
    if (spec.rescue !== undefined) await this.#imageBytes(spec.rescue.imagePath, spec.rescue.imageFormat);
    const volumes = (spec.volumes ?? []).map((volume) => {
      const planned = disks.find((d) => d.source.kind === 'volume' && d.source.volume.volumeId === volume.volumeId);
      return planned === undefined ? volume : { ...volume, bus: planned.bus, device: planned.device };
    });
    const existing = this.find(spec.id);
    if (existing === undefined) {
      this.#state.put({ spec, state: 'shutdown', volumes, nics: spec.nics ?? [], rootBytes: needed, history: [], frozen: false, passwords: {} });
    } else if (this.isActive(spec.id)) {
      this.change(spec.id, { spec: { ...spec, rescue: existing.spec.rescue } });
    } else {
      this.change(spec.id, { spec, volumes, nics: spec.nics ?? [] });
    }
  }

  async #rootBytes({ root }: ServerSpec): Promise<number> {
    if (root.kind === 'volume') return 0;
    const image = await this.#imageBytes(root.imagePath, root.imageFormat);
    const asked = root.sizeGiB * GiB;
    if (root.imageFormat === 'iso') return asked;
    if (asked > 0 && image > asked) throw new DriverError('invalid', `The image needs ${Math.ceil(image / GiB)} GiB, more than the root disk of the flavor.`);
    return Math.max(asked, image) || GiB; // unchecked, and as large as the image: a size is as good as another
  }

  #imageBytes(path: string, format: 'raw' | 'qcow2' | 'iso'): Promise<number> {
    if (!this.#checkImages) return Promise.resolve(0);
    const key = `${format} ${path}`;
    const known = this.#images.get(key) ?? imageSize(path, format);
    this.#images.set(key, known);
    known.catch(() => this.#images.delete(key)); // it may come later
    return known;
  }

  boot(id: string, state: 'running' | 'paused' = 'running'): void {
    const { history } = this.require(id);
    this.change(id, { state, history: [...history, { at: this.#now(), what: 'boot' as const }].slice(-keptHistory) });
    this.#tell('started', id, false);
  }

  /** Without a word to the guest. */
  off(id: string, byGuest = false): void {
    const server = this.require(id);
    if (server.state === 'shutdown') return;
    const wasUp = this.isActive(id);
    const history = byGuest ? [...server.history, { at: this.#now(), what: 'off' as const }].slice(-keptHistory) : server.history;
    this.change(id, { state: 'shutdown', history, frozen: false });
    if (wasUp) this.#tell('stopped', id, byGuest);
  }

  powerOff(id: string, gracefully: boolean): void {
    this.off(id, gracefully && this.require(id).state === 'running');
  }

  async powerOn(spec: ServerSpec): Promise<void> {
    const state = this.find(spec.id)?.state;
    if (state === 'running') return;
    if (state === 'paused') return this.unpause(spec.id);
    if (state === 'suspended') {
      this.change(spec.id, { state: 'running' });
      return this.#tell('started', spec.id, false);
    }
    await this.define(spec);
    this.boot(spec.id);
  }

  async reboot(spec: ServerSpec, type: 'SOFT' | 'HARD'): Promise<void> {
    const server = this.find(spec.id);
    if (server !== undefined) this.off(spec.id, type === 'SOFT' && server.state === 'running');
    await this.define(spec);
    this.boot(spec.id);
  }

  pause(id: string): void {
    if (this.#mustRun(id).state === 'paused') return;
    this.change(id, { state: 'paused' });
    this.#tell('paused', id, false);
  }

  unpause(id: string): void {
    if (this.#mustRun(id).state === 'running') return;
    this.change(id, { state: 'running' });
    this.#tell('unpaused', id, false);
  }

  suspend(id: string): void {
    if (this.require(id).state === 'suspended') return;
    this.#mustRun(id);
    this.change(id, { state: 'suspended' });
    this.#tell('suspended', id, false);
  }

  #mustRun(id: string): FakeServer {
    if (!this.isActive(id)) throw new DriverError('busy', 'The server is not running.');
    return this.require(id);
  }

  async restore(spec: ServerSpec, wanted: 'running' | 'paused' | 'shutdown' | 'suspended'): Promise<void> {
    const server = this.find(spec.id);
    if (server !== undefined && this.isActive(spec.id)) {
      if (wanted === server.state) return;
      const verbs = { paused: () => this.pause(spec.id), running: () => this.unpause(spec.id), suspended: () => this.suspend(spec.id), shutdown: () => this.off(spec.id, true) };
      return verbs[wanted]();
    }
    const saved = server?.state === 'suspended';
    if (saved && wanted === 'suspended') return;
    if (saved && wanted === 'running') return this.powerOn(spec);
    if (saved) this.off(spec.id);
    await this.define(spec);
    if (wanted === 'running' || wanted === 'paused') this.boot(spec.id, wanted);
  }

  /** There is nothing in a disk here, so nothing to keep of one either. */
  destroy(id: string): void {
    if (this.find(id) === undefined) return;
    const wasUp = this.isActive(id);
    this.#state.delete(id);
    if (wasUp) this.#tell('stopped', id, false);
  }

  async resize(from: ServerSpec, to: ServerSpec, powerOn: boolean): Promise<void> {
    checkSpec(from);
    checkSpec(to);
    if (from.root.kind !== to.root.kind) throw new DriverError('invalid', 'A resize cannot change what the root disk is.');
    if (from.root.kind === 'image' && to.root.kind === 'image' && to.root.sizeGiB < from.root.sizeGiB && to.root.sizeGiB !== 0) {
      throw new DriverError('invalid', 'The root disk cannot shrink.');
    }
    const server = this.require(from.id);
    this.off(from.id, true);
    this.change(from.id, { before: server.before ?? { spec: from, rootBytes: server.rootBytes } });
    await this.define(to);
    this.change(to.id, { rootBytes: Math.max(server.rootBytes, await this.#rootBytes(to)) });
    if (powerOn) this.boot(to.id);
  }

  async grow(to: ServerSpec): Promise<void> {
    const server = this.find(to.id);
    if (server !== undefined) this.change(to.id, { spec: to, rootBytes: Math.max(server.rootBytes, await this.#rootBytes(to)) });
  }

  async unresize(from: ServerSpec, powerOn: boolean): Promise<void> {
    const { before } = this.require(from.id);
    if (before !== undefined) this.off(from.id);
    await this.define(from);
    this.change(from.id, { before: undefined, ...(before !== undefined && { rootBytes: before.rootBytes }) });
    if (powerOn && !this.isActive(from.id)) this.boot(from.id);
  }

  devices(id: string): Devices {
    const { spec, volumes, nics } = this.require(id);
    const disks = planDisks({ ...spec, volumes }).map(({ role, device, bus, source }) => {
      const volumeId = source.kind === 'volume' ? source.volume.volumeId : undefined;
      return { device, bus, role: role === 'cdrom' ? ('root' as const) : role, ...(volumeId !== undefined && { volumeId, serial: volumeId }) };
    });
    return { disks, nics: nics.map(({ mac, tapName, bridge }) => ({ mac: mac.toLowerCase(), tapName, bridge })) };
  }

  happens(id: string, what: 'guest-poweroff' | 'guest-panic' | 'host-kill'): void {
    if (what === 'guest-panic') {
      this.change(id, { state: 'crashed' });
      return this.#tell('crashed', id, true);
    }
    this.off(id, what === 'guest-poweroff');
  }

  hostReboots(): void {
    for (const { spec, state } of this.all()) {
      if (state === 'running' || state === 'paused') this.change(spec.id, { state: 'shutdown', frozen: false });
    }
  }

  host(wanted: Partial<HostFacts>): HostFacts {
    const all = this.all();
    const sum = (of: (server: FakeServer) => number): number => all.reduce((total, server) => total + of(server), 0);
    const diskGiB = wanted.diskGiB ?? 10_000;
    const usedDisk = Math.ceil(sum((s) => s.rootBytes) / GiB);
    const up: PowerState[] = ['running', 'paused'];
    return {
      hostname: wanted.hostname ?? hostname(), type: 'fake', version: 1_000, virtType: 'fake',
      vcpus: wanted.vcpus ?? 1_000, memoryMiB: wanted.memoryMiB ?? 800_000, diskGiB, freeDiskGiB: Math.max(0, diskGiB - usedDisk),
      used: {
        vcpus: sum((s) => s.spec.vcpus), memoryMiB: sum((s) => s.spec.memoryMiB), diskGiB: usedDisk,
        servers: all.length, running: all.filter((s) => up.includes(s.state)).length,
      },
      cpuInfo: { arch: 'x86_64', model: 'Nehalem', vendor: 'Intel', features: ['pge', 'clflush'], topology: { cells: 1, sockets: 4, cores: 2, threads: 1 } },
      uptimeSeconds: Math.floor(process.uptime()), loadAverage: [0, 0, 0], firmware: ['bios', 'uefi'], storageId: this.#storageId,
    };
  }

  #tell(kind: Exclude<HypervisorEvent['kind'], 'gap'>, serverId: string, byGuest: boolean): void {
    this.#emit({ kind, serverId, byGuest });
  }
}
