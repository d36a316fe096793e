import type { Found } from './contract.ts';

/** The image must not be used. The message is for the user who gave it. */
export class UnsafeImage extends Error {
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join(' '));
    this.name = 'UnsafeImage';
    this.problems = problems;
  }
}

export interface SafetyLimits {
  /** Largest virtual size in bytes; default 64 TiB, what nobody's volume has. */
  readonly maxVirtualSize?: number;
}

const MAX_VIRTUAL_SIZE = 64 * 2 ** 40;

/**
 * What may be found in an image declared as … (Glance's `disk_format` names). An ISO in an image declared raw is just data:
 * raw is never probed. `ami`, `aki` and `ari` are file systems, kernels and ramdisks: raw bytes.
 */
const ACCEPTED: Readonly<Record<string, readonly string[]>> = {
  raw: ['raw', 'iso'], ami: ['raw', 'iso'], aki: ['raw'], ari: ['raw'], ploop: ['raw', 'parallels'],
  iso: ['iso'], qcow2: ['qcow2'], vmdk: ['vmdk'], vhd: ['vhd'], vhdx: ['vhdx'], vdi: ['vdi'], luks: ['luks'],
};

/** Throws UnsafeImage unless the bytes are harmless and are what the image's `disk_format` says. */
export function assertSafe(found: Found, declaredFormat: string, limits: SafetyLimits = {}): void {
  const problems = [...found.problems];
  const accepted = Object.hasOwn(ACCEPTED, declaredFormat) ? ACCEPTED[declaredFormat] : undefined;
  if (!accepted) problems.unshift(`The disk format ${JSON.stringify(declaredFormat.slice(0, 40))} is not supported.`);
  else if (!accepted.includes(found.format)) problems.unshift(`The image is declared as ${declaredFormat} but its content is ${found.format}.`);
  const max = limits.maxVirtualSize ?? MAX_VIRTUAL_SIZE;
  if (found.virtualSize !== undefined && found.virtualSize > max) {
    problems.push(`The virtual size of the image, ${found.virtualSize} bytes, is more than the ${max} bytes that are allowed.`);
  }
  if (problems.length > 0) throw new UnsafeImage(problems);
}
