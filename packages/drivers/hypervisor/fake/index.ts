import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { scriptedFaults, type Faults } from '../../faults.ts';
import { consoleCapBytes, lastLines } from '../console-lines.ts';
import type { Diagnostics, HostFacts, HypervisorDriver, HypervisorEvent, VolumeDisk } from '../contract.ts';
import { deviceFor, planDisks } from '../disk-plan.ts';
import { checkNic, checkVolume } from '../validate.ts';
import { consoleText } from './console-text.ts';
import { writeEmptyImage } from './disk-files.ts';
import { Machines } from './machines.ts';
import { fakeMigrate, fakeTravel } from './moves.ts';
import { folderState, memoryState } from './state.ts';
import type { HypervisorVerb } from './verbs.ts';

export type { HypervisorVerb };

export interface FakeHypervisorOptions {
  /** State is kept here, one file for each server: it outlives the process, and processes share it. Absent = memory only. */
  readonly dir?: string;
  readonly host?: Partial<Pick<HostFacts, 'hostname' | 'vcpus' | 'memoryMiB' | 'diskGiB'>>;
  /** Refuse images that are not there or too large, as a real hypervisor does. Default false: thousands of servers need no file. */
  readonly checkImages?: boolean;
  /** Milliseconds until a guest is up; its console fills meanwhile. Default 0. */
  readonly bootMs?: number;
  /** Milliseconds since 1970; default the system's clock. */
  readonly now?: () => number;
  /** Milliseconds that each verb takes; default 0. */
  readonly delayMs?: number;
  /** Milliseconds that a live migration takes unless it is forced; default 0. */
  readonly liveMs?: number;
  /** Default: shared with nobody. */
  readonly storageId?: string;
}

export interface FakeHypervisor extends HypervisorDriver {
  readonly faults: Faults<HypervisorVerb>;
  /** What happens to a server by itself: the guest powers off or panics, somebody on the host stops it. */
  happens(id: string, what: 'guest-poweroff' | 'guest-panic' | 'host-kill'): void;
  /** As after a power cut of the host: what ran is off. Nobody is told. */
  hostReboots(): void;
  /** The passwords that were set through the agent, by user. */
  passwords(id: string): Readonly<Record<string, string>>;
  /** The volumes that a server has, with the connections through which it has them. */
  volumesOf(id: string): readonly VolumeDisk[];
}

/** Servers that exist on paper: every verb and capability of the contract, thousands of them, with failures on demand. */
export function fakeHypervisor(options: FakeHypervisorOptions = {}): FakeHypervisor {
  const { bootMs = 0, now = Date.now } = options;
  const faults = scriptedFaults<HypervisorVerb>();
  faults.delayMs = options.delayMs ?? 0;
  const listeners = new Set<(event: HypervisorEvent) => void>();
  const folder = options.dir === undefined ? undefined : join(options.dir, 'servers');
  const state = folder === undefined ? memoryState() : folderState(folder);
  const machines = new Machines({
    state, storageId: options.storageId ?? folder ?? randomUUID(),
    checkImages: options.checkImages ?? false, now, emit: (event) => { for (const listener of listeners) listener(event); },
  });
  const verb = <T>(name: HypervisorVerb, call: Call, work: () => T | Promise<T>): Promise<T> => faults.through(name, call, work);

  return {
    name: 'fake',
    faults,
    check: (call) => verb('check', call, () => undefined),
    host: (call) => verb('host', call, () => machines.host(options.host ?? {})),
    list: (call) => verb('list', call, () => machines.all().map(({ spec, state }) => ({ id: spec.id, name: spec.name, state }))),
    events(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    close: async () => listeners.clear(),
    happens: (id, what) => machines.happens(id, what),
    hostReboots: () => machines.hostReboots(),
    passwords: (id) => machines.require(id).passwords,
    volumesOf: (id) => machines.require(id).volumes,

    servers: {
      create: (call, spec, { powerOn = true } = {}) => verb('servers.create', call, async () => {
        await machines.define(spec);
        if (powerOn && ['shutdown', 'crashed'].includes(machines.require(spec.id).state)) machines.boot(spec.id);
      }),
      destroy: (call, id) => verb('servers.destroy', call, () => machines.destroy(id)),
      powerOn: (call, spec) => verb('servers.powerOn', call, () => machines.powerOn(spec)),
      powerOff: (call, id, { timeoutSeconds = 60 } = {}) => verb('servers.powerOff', call, () => machines.powerOff(id, timeoutSeconds > 0)),
      reboot: (call, spec, type) => verb('servers.reboot', call, () => machines.reboot(spec, type)),
      pause: (call, id) => verb('servers.pause', call, () => machines.pause(id)),
      unpause: (call, id) => verb('servers.unpause', call, () => machines.unpause(id)),
      suspend: (call, id) => verb('servers.suspend', call, () => machines.suspend(id)),
      resume: (call, spec) => verb('servers.resume', call, () => machines.powerOn(spec)),
      restore: (call, spec, state) => verb('servers.restore', call, () => machines.restore(spec, state)),
      powerState: (call, id) => verb('servers.powerState', call, () => machines.find(id)?.state ?? 'nostate'),
      devices: (call, id) => verb('servers.devices', call, () => machines.devices(id)),
    },
    volumes: {
      attach: (call, id, disk) => verb('volumes.attach', call, () => {
        checkVolume(disk);
        const server = machines.require(id);
        const present = server.volumes.find((v) => v.volumeId === disk.volumeId);
        if (present?.device !== undefined) return { device: present.device };
        const disks = planDisks({ ...server.spec, volumes: server.volumes });
        const bus = disk.bus ?? disks.find((d) => d.role === 'root')?.bus ?? 'virtio';
        const device = deviceFor(disk, bus, new Set(disks.map((d) => d.device)));
        machines.change(id, { volumes: [...server.volumes, { ...disk, bus, device }] });
        return { device };
      }),
      detach: (call, id, volumeId) => verb('volumes.detach', call, () => {
        const server = machines.find(id);
        if (server) machines.change(id, { volumes: server.volumes.filter((v) => v.volumeId !== volumeId) });
      }),
      extend: (call, id) => verb('volumes.extend', call, () => void machines.require(id)),
      swap: {
        run: (call, id, volumeId, to) => verb('volumes.swap.run', call, () => {
          checkVolume(to);
          const { volumes } = machines.require(id);
          if (!volumes.some((v) => v.volumeId === volumeId || v.volumeId === to.volumeId)) throw new DriverError('absent', 'The server has no such volume.', { detail: volumeId });
          if (volumes.some((v) => isAt(v, to))) return;
          if (!machines.isActive(id)) throw new DriverError('busy', 'The server must be running while its volume moves.');
          machines.change(id, { volumes: volumes.map((v) => (v.volumeId === volumeId ? { ...v, volumeId: to.volumeId, connection: to.connection } : v)) });
        }),
        abandon: (call, id, _volumeId, to) => verb('volumes.swap.abandon', call, () => ({ switched: machines.find(id)?.volumes.some((v) => isAt(v, to)) ?? false })),
      },
    },
    nics: {
      attach: (call, id, nic) => verb('nics.attach', call, () => {
        checkNic(nic);
        const { nics } = machines.require(id);
        if (!nics.some((n) => n.mac.toLowerCase() === nic.mac.toLowerCase())) machines.change(id, { nics: [...nics, nic] });
      }),
      detach: (call, id, mac) => verb('nics.detach', call, () => {
        const server = machines.find(id);
        if (server) machines.change(id, { nics: server.nics.filter((n) => n.mac.toLowerCase() !== mac.toLowerCase()) });
      }),
    },
    console: {
      log: (call, id, { lines, maxBytes = consoleCapBytes } = {}) => verb('console.log', call, () => {
        const text = Buffer.from(consoleText(machines.require(id), now(), bootMs)).subarray(-Math.min(maxBytes, consoleCapBytes)).toString();
        return lines === undefined ? text : lastLines(text, lines);
      }),
      vnc: (call, id) => verb('console.vnc', call, () => {
        if (!machines.isActive(id)) throw new DriverError('absent', 'The server has no screen at the moment.');
        return { host: '127.0.0.1', port: 5_900, websocketPort: 5_700 };
      }),
    },
    snapshot: {
      rootDisk: (call, id, destination, { format, quiesce = 'try' }) => verb('snapshot.rootDisk', call, async () => {
        const server = machines.require(id);
        if (server.spec.root.kind === 'volume') throw new DriverError('invalid', 'The server has no root disk of its own: its root is a volume.');
        const quiesced = quiesce !== 'no' && machines.hasAgent(id);
        if (quiesce === 'require' && !quiesced) throw new DriverError('unsupported', 'The server has no guest agent that answers, which its image requires for a snapshot.');
        const sizeBytes = await writeEmptyImage(destination, format, server.rootBytes);
        call.progress(server.rootBytes, server.rootBytes);
        return { virtualSizeBytes: server.rootBytes, sizeBytes, quiesced };
      }),
    },
    rescue: {
      start: (call, spec, rescue) => verb('rescue.start', call, async () => {
        if (machines.require(spec.id).spec.rescue !== undefined && machines.isActive(spec.id)) return;
        machines.off(spec.id);
        await machines.define({ ...spec, rescue });
        machines.boot(spec.id);
      }),
      stop: (call, spec) => verb('rescue.stop', call, async () => {
        const rescued = machines.require(spec.id).spec.rescue !== undefined;
        if (rescued) machines.off(spec.id);
        await machines.define({ ...spec, rescue: undefined });
        if (!machines.isActive(spec.id)) machines.boot(spec.id);
      }),
    },
    resize: {
      apply: (call, from, to, { powerOn = true } = {}) => verb('resize.apply', call, () => machines.resize(from, to, powerOn)),
      keep: (call, id) => verb('resize.keep', call, () => {
        const { before, spec, rootBytes } = machines.require(id);
        if (before === undefined) machines.change(id, { before: { spec, rootBytes } });
      }),
      confirm: (call, id) => verb('resize.confirm', call, () => {
        if (machines.find(id)) machines.change(id, { before: undefined });
      }),
      revert: (call, from, { powerOn = true } = {}) => verb('resize.revert', call, () => machines.unresize(from, powerOn)),
      grow: (call, _from, to) => verb('resize.grow', call, () => machines.grow(to)),
    },
    crashDump: (call, id) => verb('crashDump', call, () => {
      if (machines.require(id).state === 'crashed') return;
      if (!machines.isActive(id)) throw new DriverError('busy', 'The server is not running.');
      machines.happens(id, 'guest-panic');
    }),
    travel: fakeTravel(state, verb),
    // Guests move between folders: those in memory alone have nowhere to go.
    ...(folder !== undefined && { migrate: fakeMigrate(state, folder, options.liveMs ?? 0, verb) }),
    agent: {
      available: (call, id) => verb('agent.available', call, () => machines.find(id) !== undefined && machines.hasAgent(id)),
      setPassword: (call, id, user, password) => verb('agent.setPassword', call, () => {
        const { passwords } = machines.withAgent(id);
        machines.change(id, { passwords: { ...passwords, [user]: password } });
      }),
      freeze: (call, id) => verb('agent.freeze', call, () => {
        machines.withAgent(id);
        machines.change(id, { frozen: true });
        return 1;
      }),
      thaw: (call, id) => verb('agent.thaw', call, () => {
        if (!machines.find(id)?.frozen) return 0;
        machines.change(id, { frozen: false });
        return 1;
      }),
    },
    diagnostics: (call, id) => verb('diagnostics', call, (): Diagnostics => {
      const { spec, state } = machines.require(id);
      const { disks, nics } = machines.devices(id);
      return {
        state, driver: 'fake', hypervisor: 'fake', configDrive: disks.some((d) => d.role === 'config'), uptimeSeconds: null,
        memory: { maximumMiB: spec.memoryMiB, usedMiB: 0 },
        cpus: Array.from({ length: spec.vcpus }, (_, i) => ({ id: i, timeNanoseconds: 0, utilisation: null })),
        nics: nics.map(({ mac, tapName }) => ({ mac, device: tapName ?? null, rxBytes: 0, rxPackets: 0, rxErrors: 0, rxDrop: 0, txBytes: 0, txPackets: 0, txErrors: 0, txDrop: 0 })),
        disks: disks.map(({ device }) => ({ device, readBytes: 0, readRequests: 0, writeBytes: 0, writeRequests: 0, errors: 0 })),
      };
    }),
  };
}

const isAt = (volume: VolumeDisk, place: VolumeDisk): boolean => volume.volumeId === place.volumeId && JSON.stringify(volume.connection) === JSON.stringify(place.connection);
