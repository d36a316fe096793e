import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Runner } from '@cumulet/exec';
import type { Call, Log } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { PowerState, ServerSpec } from '../contract.ts';
import { checkId } from '../validate.ts';
import { domainXml } from './domain-xml.ts';
import { Domains } from './domains.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import { HostCalls } from './host-calls.ts';
import { domainState, shutoffReason, type DomainHandle } from './protocol.ts';
import { Secrets } from './secrets.ts';
import type { Session } from './session.ts';
import { parseXml, type Element } from './xml.ts';

export interface LibvirtOptions {
  /** Of libvirtd or virtqemud. */
  readonly socketPath: string;
  /** One folder for each server; made when missing. Absolute. */
  readonly instancesDir: string;
  /** What `probeKvm` found, or what the operator says. */
  readonly virtType: 'kvm' | 'qemu';
  readonly runner: Runner;
  readonly log: Log;
  /** For KVM guests; default `host-model`, as Nova. TCG guests get every feature that QEMU can emulate. */
  readonly cpuMode?: 'host-model' | 'host-passthrough';
  /** Of local disks; default `none` where the file system can, else `writeback`. `unsafe` is for tests. */
  readonly diskCache?: 'none' | 'writeback' | 'unsafe';
  /** Where the screens' servers listen; default 127.0.0.1. */
  readonly vncListen?: string;
  /** True where the daemon has cgroups (the system's own): CPU quotas of flavors then hold. Default false. */
  readonly cgroups?: boolean;
  /** How the daemon of another host reaches this one's: then servers migrate live. */
  readonly migrationUri?: string;
  /** The passphrase of an encrypted volume by the id of its key; absent: such volumes are refused. It goes to the daemon's memory and nowhere else. */
  readonly volumeKey?: (keyId: string) => Promise<string>;
  /** How long a guest may take to let go of a device, and how often it is asked. Defaults 20,000 and 8, as Nova. */
  readonly detachTimeoutMs?: number;
  readonly detachAttempts?: number;
  /** A console log that grew beyond this is cut to its newest half; default 4 MiB. */
  readonly consoleLogBytes?: number;
}

/** What every part of the driver shares. */
export class Context {
  readonly options: LibvirtOptions;
  readonly session: Session;
  readonly domains: Domains;
  readonly secrets: Secrets;
  readonly host: HostCalls;
  readonly runner: Runner;
  readonly log: Log;
  readonly instancesDir: string;
  cache: 'none' | 'writeback' | 'unsafe';
  storageId = '';
  /** Domains that were seen to be ours: that does not change as long as they are there. */
  readonly #owned = new Set<string>();

  constructor(options: LibvirtOptions, session: Session) {
    this.options = options;
    this.session = session;
    this.domains = new Domains(session);
    this.secrets = new Secrets(session);
    this.host = new HostCalls(session);
    this.runner = options.runner;
    this.log = options.log;
    this.instancesDir = resolve(options.instancesDir);
    this.cache = options.diskCache ?? 'writeback';
  }

  folder(id: string): string {
    checkId(id);
    return join(this.instancesDir, id);
  }

  consoleLog(id: string): string {
    return join(this.folder(id), 'console.log');
  }

  /** Undefined where the path is too long for a unix socket (108 bytes with its end). */
  serialSocket(id: string): string | undefined {
    const path = join(this.folder(id), 'serial.sock');
    return Buffer.byteLength(path) < 107 ? path : undefined;
  }

  /** The server's domain if this driver made it. A stranger's domain of the same UUID is nobody's business. */
  async find(id: string): Promise<DomainHandle | undefined> {
    checkId(id);
    const domain = await this.domains.find(id);
    if (domain === undefined) this.#owned.delete(id);
    return domain !== undefined && (await this.owns(domain)) ? domain : undefined;
  }

  async require(id: string): Promise<DomainHandle> {
    const domain = await this.find(id);
    if (domain === undefined) throw new DriverError('absent', 'The server does not exist on this host.', { detail: id });
    return domain;
  }

  async owns(domain: DomainHandle): Promise<boolean> {
    if (this.#owned.has(domain.uuid)) return true;
    const owned = isOwned(await this.xml(domain, 'persistent'), this.instancesDir);
    if (owned) this.#owned.add(domain.uuid);
    return owned;
  }

  async xml(domain: DomainHandle, which: 'live' | 'persistent' = 'live'): Promise<Element> {
    return parseXml(await this.domains.xml(domain, which), 'domain');
  }

  async state(domain: DomainHandle): Promise<PowerState> {
    const { state, reason } = await this.domains.state(domain);
    switch (state) {
      case domainState.paused:
      case domainState.pmSuspended:
        return 'paused';
      case domainState.crashed:
        return 'crashed';
      case domainState.shutoff:
        if (await this.domains.hasManagedSave(domain)) return 'suspended';
        return reason === shutoffReason.crashed ? 'crashed' : 'shutdown';
      case domainState.noState:
        return 'nostate';
      default:
        return 'running'; // running, blocked, or still shutting down
    }
  }

  /** Writes what the next start will use; a running domain goes on as it is. */
  async define(spec: ServerSpec): Promise<DomainHandle> {
    return this.domains.define(domainXml(spec, {
      virtType: this.options.virtType, cpuMode: this.options.cpuMode ?? 'host-model', folder: this.folder(spec.id), owner: this.instancesDir,
      cache: this.cache, consoleLog: this.consoleLog(spec.id), serialSocket: this.serialSocket(spec.id),
      vncListen: this.options.vncListen ?? '127.0.0.1', cgroups: this.options.cgroups ?? false,
    }));
  }

  /** Ends the emulator at once. Already off is success. */
  async kill(domain: DomainHandle): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.domains.destroy(domain);
      } catch (error) {
        if (isLibvirtCode(error, libvirtCode.operationInvalid, libvirtCode.noDomain)) return;
        // an emulator that hangs in the kernel on a slow disk needs more than libvirt's own patience
        if (!isLibvirtCode(error, libvirtCode.systemError, libvirtCode.operationFailed) || attempt === 3) throw error;
      }
    }
  }

  /** Waits until `done` says so: asks on every event of the domain and twice a second. False when time is up. */
  async wait(call: Call, id: string, timeoutMs: number, done: () => Promise<boolean>): Promise<boolean> {
    const deadline = Date.now() + timeoutMs;
    let wake = (): void => undefined;
    const stop = this.session.listen((event) => {
      if (event.kind === 'gap' || event.domain.uuid === id) wake();
    });
    try {
      for (;;) {
        call.signal.throwIfAborted();
        const woken = new Promise<void>((resolve) => { wake = resolve; });
        if (await done()) return true;
        const left = deadline - Date.now();
        if (left <= 0) return false;
        const timer = new AbortController();
        await Promise.race([woken, sleep(Math.min(500, left), undefined, { signal: AbortSignal.any([timer.signal, call.signal]) }).catch(() => undefined)]);
        timer.abort();
      }
    } finally {
      stop();
    }
  }
}

export function isOwned(domain: Element, instancesDir: string): boolean {
  return domain.at('metadata', 'cumulet:server').attribute('owner') === instancesDir;
}
