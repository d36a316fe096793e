import { DriverError, type DriverErrorKind } from '../../errors.ts';

/** An error that the daemon answered with, still with its own code. */
export class LibvirtError extends Error {
  /** `virErrorNumber`. */
  readonly code: number;
  readonly domain: number;
  constructor(code: number, domain: number, message: string) {
    super(message);
    this.name = 'LibvirtError';
    this.code = code;
    this.domain = domain;
  }
}

/** The connection is away, or the daemon did not answer in time: nothing is known about the call's effect. */
export class LibvirtUnavailable extends DriverError {
  constructor(detail: string, cause?: unknown) {
    super('transient', 'The hypervisor does not answer at the moment.', { detail, cause });
    this.name = 'LibvirtUnavailable';
  }
}

/** `virErrorNumber` upstream, those that mean something to us. */
export const libvirtCode = {
  noMemory: 2, noSupport: 3, invalidArg: 8, operationFailed: 9, xmlError: 27, operationDenied: 29, xmlDetail: 35, systemError: 38, rpc: 39,
  noDomain: 42, operationInvalid: 55, noSecret: 66, configUnsupported: 67, operationTimeout: 68, argumentUnsupported: 74, operationAborted: 78,
  noDomainMetadata: 80, blockCopyActive: 83, operationUnsupported: 84, agentUnresponsive: 86, resourceBusy: 87, accessDenied: 88,
  xmlInvalidSchema: 92, agentUnsynced: 97, deviceMissing: 99,
} as const;

const kinds: Readonly<Record<number, DriverErrorKind>> = {
  [libvirtCode.noMemory]: 'transient',
  [libvirtCode.noSupport]: 'unsupported',
  [libvirtCode.invalidArg]: 'invalid',
  [libvirtCode.xmlError]: 'invalid',
  [libvirtCode.xmlDetail]: 'invalid',
  [libvirtCode.xmlInvalidSchema]: 'invalid',
  [libvirtCode.rpc]: 'transient',
  [libvirtCode.noDomain]: 'absent',
  [libvirtCode.noSecret]: 'absent',
  [libvirtCode.deviceMissing]: 'absent',
  [libvirtCode.configUnsupported]: 'unsupported',
  [libvirtCode.argumentUnsupported]: 'unsupported',
  [libvirtCode.operationUnsupported]: 'unsupported',
  [libvirtCode.operationTimeout]: 'transient',
  [libvirtCode.blockCopyActive]: 'busy',
  [libvirtCode.resourceBusy]: 'busy',
  [libvirtCode.agentUnresponsive]: 'transient',
  [libvirtCode.agentUnsynced]: 'transient',
};

/** What the user reads, by kind: libvirt's own words name paths and go to `detail` only. */
const messages: Readonly<Record<DriverErrorKind, string>> = {
  absent: 'The server does not exist on this host.',
  busy: 'The hypervisor is busy with another operation on this server.',
  full: 'No space is left on the hypervisor.',
  unsupported: 'The hypervisor does not support this operation or configuration.',
  invalid: 'The hypervisor refused the configuration of the server.',
  transient: 'The hypervisor does not answer at the moment.',
  broken: 'The hypervisor failed to carry out the operation.',
};

export function driverError(error: LibvirtError, what: string): DriverError {
  let kind = kinds[error.code] ?? 'broken';
  if (/no space left on device|ENOSPC/i.test(error.message)) kind = 'full';
  // QEMU's way to say that another process holds the image; libvirt's, that another machine has the name
  else if (/failed to get .* lock|is another process using|already exists with uuid/i.test(error.message)) kind = 'busy';
  return new DriverError(kind, messages[kind], { detail: `${what}: ${error.message} (libvirt error ${error.code})`, cause: error });
}

export const isLibvirtCode = (error: unknown, ...codes: number[]): boolean =>
  error instanceof DriverError && error.cause instanceof LibvirtError && codes.includes(error.cause.code);
