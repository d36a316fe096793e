import type { Session } from './session.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import { flag, procedure, program, qemuProcedure, readDomain, readTypedParameter, uuidBytes, writeDomain, writeTypedParameters, type DomainHandle } from './protocol.ts';
import { XdrWriter } from './xdr.ts';

/** Starting waits for the emulator, saving and backups for its disk. */
const slowMs = 300_000;

/** libvirt's domain calls, typed. Each takes a handle, which the daemon resolves by its UUID. */
export class Domains {
  readonly session: Session;
  constructor(session: Session) {
    this.session = session;
  }

  #on(domain: DomainHandle): XdrWriter {
    return writeDomain(new XdrWriter(), domain);
  }

  /** Undefined when there is none. */
  async find(uuid: string): Promise<DomainHandle | undefined> {
    try {
      return readDomain(await this.session.call('look up domain', procedure.domainLookupByUuid, new XdrWriter().fixed(uuidBytes(uuid))));
    } catch (error) {
      if (isLibvirtCode(error, libvirtCode.noDomain)) return undefined;
      throw error;
    }
  }

  async all(): Promise<DomainHandle[]> {
    return (await this.session.call('list domains', procedure.connectListAllDomains, new XdrWriter().i32(1).u32(0))).array(readDomain);
  }

  async define(xml: string): Promise<DomainHandle> {
    return readDomain(await this.session.call('define domain', procedure.domainDefineXmlFlags, new XdrWriter().string(xml).u32(0)));
  }

  /** With saved state, snapshot and checkpoint records and firmware variables. */
  async undefine(domain: DomainHandle): Promise<void> {
    await this.session.call('undefine domain', procedure.domainUndefineFlags, this.#on(domain).u32(flag.undefineAll));
  }

  async start(domain: DomainHandle, flags = 0): Promise<DomainHandle> {
    return readDomain(await this.session.call('start domain', procedure.domainCreateWithFlags, this.#on(domain).u32(flags), slowMs));
  }

  async destroy(domain: DomainHandle): Promise<void> {
    await this.session.call('stop domain', procedure.domainDestroy, this.#on(domain), 60_000);
  }

  async shutdown(domain: DomainHandle): Promise<void> {
    await this.session.call('shut down domain', procedure.domainShutdownFlags, this.#on(domain).u32(0));
  }

  async suspend(domain: DomainHandle): Promise<void> {
    await this.session.call('pause domain', procedure.domainSuspend, this.#on(domain));
  }

  async resume(domain: DomainHandle): Promise<void> {
    await this.session.call('unpause domain', procedure.domainResume, this.#on(domain));
  }

  /** As a watchdog's button: kernels that are set up for it panic and dump. */
  async injectNmi(domain: DomainHandle): Promise<void> {
    await this.session.call('send NMI', procedure.domainInjectNmi, this.#on(domain).u32(0));
  }

  async managedSave(domain: DomainHandle): Promise<void> {
    await this.session.call('save domain', procedure.domainManagedSave, this.#on(domain).u32(0), slowMs);
  }

  async hasManagedSave(domain: DomainHandle): Promise<boolean> {
    return (await this.session.call('look for saved state', procedure.domainHasManagedSaveImage, this.#on(domain).u32(0))).i32() === 1;
  }

  async removeManagedSave(domain: DomainHandle): Promise<void> {
    await this.session.call('drop saved state', procedure.domainManagedSaveRemove, this.#on(domain).u32(0));
  }

  async state(domain: DomainHandle): Promise<{ state: number; reason: number }> {
    const reader = await this.session.call('read domain state', procedure.domainGetState, this.#on(domain).u32(0));
    return { state: reader.i32(), reason: reader.i32() };
  }

  /** Live, or the persistent definition (what the next start will use). */
  async xml(domain: DomainHandle, which: 'live' | 'persistent' = 'live'): Promise<string> {
    const flags = which === 'live' ? 0 : flag.xmlInactive;
    return (await this.session.call('read domain XML', procedure.domainGetXmlDesc, this.#on(domain).u32(flags))).string();
  }

  /** With secrets, as another host's daemon takes it. */
  async migratableXml(domain: DomainHandle, which: 'live' | 'persistent' = 'live'): Promise<string> {
    const flags = flag.xmlSecure | flag.xmlMigratable | (which === 'live' ? 0 : flag.xmlInactive);
    return (await this.session.call('read domain XML', procedure.domainGetXmlDesc, this.#on(domain).u32(flags))).string();
  }

  /** Returns when it runs at `uri` and is gone here. */
  async migrate(domain: DomainHandle, uri: string, parameters: Readonly<Record<string, string | number | readonly string[] | undefined>>, flags: number): Promise<void> {
    const args = writeTypedParameters(this.#on(domain).optionalString(uri), parameters).opaque(Buffer.alloc(0)).u32(flags);
    await this.session.call('migrate domain', procedure.domainMigratePerform3Params, args, 24 * 3_600_000);
  }

  async attachDevice(domain: DomainHandle, xml: string, flags: number): Promise<void> {
    await this.session.call('attach device', procedure.domainAttachDeviceFlags, this.#on(domain).string(xml).u32(flags), 60_000);
  }

  async detachDevice(domain: DomainHandle, xml: string, flags: number): Promise<void> {
    await this.session.call('detach device', procedure.domainDetachDeviceFlags, this.#on(domain).string(xml).u32(flags), 60_000);
  }

  async blockResize(domain: DomainHandle, device: string, sizeBytes: number): Promise<void> {
    await this.session.call('resize disk', procedure.domainBlockResize, this.#on(domain).string(device).u64(sizeBytes).u32(flag.blockResizeBytes));
  }

  async blockCopy(domain: DomainHandle, device: string, destinationXml: string, flags: number): Promise<void> {
    await this.session.call('copy disk', procedure.domainBlockCopy, this.#on(domain).string(device).string(destinationXml).u32(0).u32(flags), slowMs);
  }

  async blockJob(domain: DomainHandle, device: string): Promise<{ done: number; total: number } | undefined> {
    const reader = await this.session.call('read disk job', procedure.domainGetBlockJobInfo, this.#on(domain).string(device).u32(0));
    if (reader.i32() === 0) return undefined;
    reader.i32(); // type
    reader.u64(); // bandwidth
    return { done: reader.u64(), total: reader.u64() };
  }

  async endBlockJob(domain: DomainHandle, device: string, flags: number): Promise<void> {
    await this.session.call('end disk job', procedure.domainBlockJobAbort, this.#on(domain).string(device).u32(flags), slowMs);
  }

  async backupBegin(domain: DomainHandle, xml: string, flags: number): Promise<void> {
    await this.session.call('copy root disk', procedure.domainBackupBegin, this.#on(domain).string(xml).optionalString(undefined).u32(flags), slowMs);
  }

  /** `active` is false when there is no job; bytes are of the job's disks. */
  async job(domain: DomainHandle): Promise<{ active: boolean; done: number; total: number }> {
    const reader = await this.session.call('read job', procedure.domainGetJobInfo, this.#on(domain));
    const type = reader.i32(); // 0 none, 1 bounded, 2 unbounded, 3 completed, 4 failed, 5 cancelled
    reader.u64(); // elapsed
    reader.u64(); // remaining time
    const [total, done] = [reader.u64(), reader.u64()];
    return { active: type === 1 || type === 2, done, total };
  }

  /** How the last job ended; `errmsg` is QEMU's own reason. */
  async completedJob(domain: DomainHandle): Promise<{ ok: boolean; reason: string }> {
    const reader = await this.session.call('read finished job', procedure.domainGetJobStats, this.#on(domain).u32(flag.jobStatsCompleted));
    const type = reader.i32();
    const values = new Map(reader.array(readTypedParameter));
    return { ok: type === 3 && values.get('success') !== 0, reason: String(values.get('errmsg') ?? `job type ${type}`) };
  }

  async abortJob(domain: DomainHandle): Promise<void> {
    await this.session.call('abort job', procedure.domainAbortJob, this.#on(domain));
  }

  async freeze(domain: DomainHandle): Promise<number> {
    return (await this.session.call('freeze file systems', procedure.domainFsFreeze, this.#on(domain).u32(0).u32(0), 60_000)).i32();
  }

  async thaw(domain: DomainHandle): Promise<number> {
    return (await this.session.call('thaw file systems', procedure.domainFsThaw, this.#on(domain).u32(0).u32(0), 60_000)).i32();
  }

  async setUserPassword(domain: DomainHandle, user: string, password: string): Promise<void> {
    const args = this.#on(domain).optionalString(user).optionalString(password).u32(0);
    await this.session.call('set password', procedure.domainSetUserPassword, args, 60_000);
  }

  /** A guest agent's JSON command; waits `timeoutSeconds` for the answer. */
  async agentCommand(domain: DomainHandle, command: object, timeoutSeconds: number): Promise<unknown> {
    const args = this.#on(domain).string(JSON.stringify(command)).i32(timeoutSeconds).u32(0);
    const reader = await this.session.call('ask the guest agent', qemuProcedure.domainAgentCommand, args, (timeoutSeconds + 10) * 1_000, program.qemu);
    return JSON.parse(reader.optionalString() ?? 'null') as unknown;
  }

  /** Every statistic of these domains (none named: of all). */
  async stats(domains: readonly DomainHandle[], statistics = flag.statsAll): Promise<{ domain: DomainHandle; values: Map<string, number | string> }[]> {
    const args = new XdrWriter().u32(domains.length);
    for (const domain of domains) writeDomain(args, domain);
    const reader = await this.session.call('read statistics', procedure.connectGetAllDomainStats, args.u32(statistics).u32(0), 60_000);
    return reader.array((r) => ({ domain: readDomain(r), values: new Map(r.array(readTypedParameter)) }));
  }
}
