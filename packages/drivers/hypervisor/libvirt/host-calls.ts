import { procedure } from './protocol.ts';
import type { Session } from './session.ts';
import { XdrWriter } from './xdr.ts';

/** libvirt's calls about the host itself. */
export class HostCalls {
  readonly session: Session;
  constructor(session: Session) {
    this.session = session;
  }

  /** Of the emulator: major * 1,000,000 + minor * 1,000 + micro. */
  async version(): Promise<number> {
    return (await this.session.call('read version', procedure.connectGetVersion)).u64();
  }

  async hostname(): Promise<string> {
    return (await this.session.call('read host name', procedure.connectGetHostname)).string();
  }

  async capabilities(): Promise<string> {
    return (await this.session.call('read capabilities', procedure.connectGetCapabilities)).string();
  }

  async domainCapabilities(arch: string, machine: string, virtType: string): Promise<string> {
    const args = new XdrWriter().optionalString(undefined).optionalString(arch).optionalString(machine).optionalString(virtType).u32(0);
    return (await this.session.call('read domain capabilities', procedure.connectGetDomainCapabilities, args)).string();
  }

  async info(): Promise<{ memoryKiB: number; cpus: number; cells: number; sockets: number; cores: number; threads: number }> {
    const reader = await this.session.call('read host facts', procedure.nodeGetInfo);
    reader.fixed(32 * 4); // the model's name: 32 characters, and XDR gives each four bytes
    const memoryKiB = reader.u64();
    const cpus = reader.i32();
    reader.i32(); // MHz
    return { memoryKiB, cpus, cells: reader.i32(), sockets: reader.i32(), cores: reader.i32(), threads: reader.i32() };
  }
}
