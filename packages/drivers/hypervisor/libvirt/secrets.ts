import { isLibvirtCode, libvirtCode } from './errors.ts';
import { procedure, uuidBytes } from './protocol.ts';
import type { Session } from './session.ts';
import { XdrWriter } from './xdr.ts';

interface SecretHandle {
  readonly uuid: Buffer;
  readonly usageType: number;
  readonly usage: string;
}

/** `virSecretUsageType` upstream. */
const usageTypes = { volume: 1, ceph: 2, iscsi: 3 } as const;

/** Passwords for network disks; libvirt's domain XML names them and never holds them. */
export class Secrets {
  readonly session: Session;
  constructor(session: Session) {
    this.session = session;
  }

  #write(secret: SecretHandle): XdrWriter {
    return new XdrWriter().fixed(secret.uuid).i32(secret.usageType).string(secret.usage);
  }

  async #read(what: string, procedureNumber: number, args: XdrWriter): Promise<SecretHandle> {
    const reader = await this.session.call(what, procedureNumber, args);
    return { uuid: reader.fixed(16), usageType: reader.i32(), usage: reader.string() };
  }

  async #find(usageType: number, usage: string): Promise<SecretHandle | undefined> {
    try {
      return await this.#read('look up secret', procedure.secretLookupByUsage, new XdrWriter().i32(usageType).string(usage));
    } catch (error) {
      // where the daemons are split, this one has no secrets and so none of ours
      if (isLibvirtCode(error, libvirtCode.noSecret, libvirtCode.noSupport)) return undefined;
      throw error;
    }
  }

  async findByUuid(uuid: string): Promise<boolean> {
    try {
      await this.#read('look up secret', procedure.secretLookupByUuid, new XdrWriter().fixed(uuidBytes(uuid)));
      return true;
    } catch (error) {
      if (isLibvirtCode(error, libvirtCode.noSecret)) return false;
      throw error;
    }
  }

  /** `xml` describes it (with its usage); defining one that exists replaces it. */
  async set(xml: string, value: Uint8Array): Promise<void> {
    const secret = await this.#read('define secret', procedure.secretDefineXml, new XdrWriter().string(xml).u32(0));
    await this.session.call('set secret', procedure.secretSetValue, this.#write(secret).opaque(value).u32(0));
  }

  async remove(type: keyof typeof usageTypes, usage: string): Promise<void> {
    const secret = await this.#find(usageTypes[type], usage);
    if (secret !== undefined) await this.session.call('remove secret', procedure.secretUndefine, this.#write(secret));
  }

  async exists(type: keyof typeof usageTypes, usage: string): Promise<boolean> {
    return (await this.#find(usageTypes[type], usage)) !== undefined;
  }
}
