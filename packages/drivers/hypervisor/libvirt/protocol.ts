import { misunderstood, type XdrReader, type XdrWriter } from './xdr.ts';

/**
 * Numbers of libvirt's wire protocol that Cumulet uses: `src/remote/remote_protocol.x`, `qemu_protocol.x`,
 * `virnetprotocol.x` and `virkeepaliveprotocol.x` upstream. Numbers never change once released.
 */
export const program = { remote: 0x20008086, qemu: 0x20008087, keepAlive: 0x6b656570 } as const;

export const messageType = { call: 0, reply: 1, message: 2, stream: 3 } as const;

export const keepAlive = { ping: 1, pong: 2 } as const;

export const procedure = {
  connectOpen: 1,
  connectClose: 2,
  connectGetVersion: 4,
  nodeGetInfo: 6,
  connectGetCapabilities: 7,
  domainDestroy: 12,
  domainGetXmlDesc: 14,
  domainLookupByUuid: 24,
  domainResume: 28,
  domainSuspend: 34,
  connectGetHostname: 59,
  connectSupportsFeature: 60,
  authList: 66,
  authPolkit: 70,
  secretLookupByUuid: 141,
  secretDefineXml: 142,
  secretSetValue: 144,
  secretUndefine: 146,
  secretLookupByUsage: 147,
  domainAttachDeviceFlags: 160,
  domainDetachDeviceFlags: 161,
  domainGetJobInfo: 163,
  domainAbortJob: 164,
  domainManagedSave: 182,
  domainHasManagedSaveImage: 183,
  domainManagedSaveRemove: 184,
  domainCreateWithFlags: 196,
  domainInjectNmi: 210,
  domainGetState: 212,
  domainUndefineFlags: 231,
  domainBlockJobAbort: 237,
  domainGetBlockJobInfo: 238,
  domainBlockResize: 251,
  domainShutdownFlags: 258,
  connectListAllDomains: 273,
  domainGetJobStats: 298,
  domainMigratePerform3Params: 305,
  domainEventRegister: 316,
  domainFsFreeze: 335,
  domainFsThaw: 336,
  connectGetDomainCapabilities: 342,
  connectGetAllDomainStats: 344,
  domainBlockCopy: 345,
  domainDefineXmlFlags: 350,
  domainSetUserPassword: 357,
  domainBackupBegin: 421,
} as const;

/** Of the QEMU program. */
export const qemuProcedure = { domainAgentCommand: 3 } as const;

/** `id` is what is registered, `procedure` what arrives. */
export const domainEvent = {
  lifecycle: { id: 0, procedure: 318 },
  deviceRemoved: { id: 15, procedure: 333 },
  blockJob: { id: 16, procedure: 339 },
  jobCompleted: { id: 21, procedure: 363 },
  deviceRemovalFailed: { id: 22, procedure: 367 },
} as const;

export const lifecycle = { defined: 0, undefined: 1, started: 2, suspended: 3, resumed: 4, stopped: 5, shutdown: 6, pmSuspended: 7, crashed: 8 } as const;
export const stoppedDetail = { shutdown: 0, destroyed: 1, crashed: 2, migrated: 3, saved: 4, failed: 5, fromSnapshot: 6 } as const;
export const shutdownDetail = { finished: 0, guest: 1, host: 2 } as const;

export const domainState = { noState: 0, running: 1, blocked: 2, paused: 3, shutdown: 4, shutoff: 5, crashed: 6, pmSuspended: 7 } as const;
export const pausedReason = { migration: 2, startingUp: 11 } as const;
export const shutoffReason = { crashed: 3, saved: 5, failed: 6 } as const;

export const flag = {
  xmlSecure: 1,
  xmlInactive: 2,
  xmlMigratable: 8,
  migrateLive: 1,
  migratePeer2peer: 2,
  migratePersistDest: 8,
  migrateUndefineSource: 16,
  migrateNonSharedInc: 128,
  migrateUnsafe: 512,
  migrateAbortOnError: 4096,
  migrateAutoConverge: 8192,
  affectLive: 1,
  affectConfig: 2,
  startForceBoot: 4,
  startPaused: 1,
  undefineAll: 0b111 | 0b10000,
  undefineTpm: 1 << 5,
  blockResizeBytes: 1,
  blockCopyReuseExternal: 2,
  blockCopyTransientJob: 4,
  blockJobAbortPivot: 2,
  statsAll: 0,
  jobStatsCompleted: 1,
} as const;

/** A domain as the protocol names it: all three travel with each call; the daemon looks it up by UUID. */
export interface DomainHandle {
  readonly name: string;
  /** With hyphens, lower case. */
  readonly uuid: string;
  /** −1 when it is not running. */
  readonly id: number;
}

export function writeDomain(writer: XdrWriter, domain: DomainHandle): XdrWriter {
  return writer.string(domain.name).fixed(uuidBytes(domain.uuid)).i32(domain.id);
}

export function readDomain(reader: XdrReader): DomainHandle {
  return { name: reader.string(), uuid: uuidText(reader.fixed(16)), id: reader.i32() };
}

export const uuidBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll('-', ''), 'hex');

export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Typed parameters of a call: texts, lists of texts, and whole numbers. */
export function writeTypedParameters(writer: XdrWriter, values: Readonly<Record<string, string | number | readonly string[] | undefined>>): XdrWriter {
  const flat = Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : [value].flat().map((v): [string, string | number] => [name, v])));
  writer.u32(flat.length);
  for (const [name, value] of flat) {
    writer.string(name);
    if (typeof value === 'number') writer.i32(4).u64(value); else writer.i32(7).string(value);
  }
  return writer;
}

/** Typed parameters (statistics): names with dots, values of seven kinds. */
export function readTypedParameter(reader: XdrReader): [string, number | string] {
  const field = reader.string();
  const type = reader.i32();
  switch (type) {
    case 1: return [field, reader.i32()];
    case 2: return [field, reader.u32()];
    case 3: return [field, reader.i64()];
    case 4: return [field, reader.u64()];
    case 5: return [field, reader.f64()];
    case 6: return [field, reader.i32()];
    case 7: return [field, reader.string()];
    default: throw misunderstood(`a parameter has the unknown type ${type}`);
  }
}
