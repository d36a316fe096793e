/**
 * Why a driver call failed; the one thing that retry and answer depend on.
 * - `absent`: the object is not there (deletes never throw it: absent is their success)
 * - `busy`: in use by somebody else; trying again later may help
 * - `full`: no room on the backend
 * - `unsupported`: this driver or backend cannot do it, ever
 * - `invalid`: the input is refused (hostile image, bad reference, wrong size)
 * - `transient`: the backend did not answer or said "again": retried with backoff
 * - `broken`: anything else; not retried
 */
export type DriverErrorKind = 'absent' | 'busy' | 'full' | 'unsupported' | 'invalid' | 'transient' | 'broken';

export class DriverError extends Error {
  readonly kind: DriverErrorKind;
  /** The message may be shown to a project's users: no host paths, credentials or command lines; put those in `detail`. */
  readonly detail: string | undefined;
  constructor(kind: DriverErrorKind, message: string, options: { detail?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'DriverError';
    this.kind = kind;
    this.detail = options.detail;
  }
}

export class Unsupported extends DriverError {
  constructor(driver: string, capability: string) {
    super('unsupported', `The ${driver} driver does not support ${capability}.`);
    this.name = 'Unsupported';
  }
}

/** The one place that answers "this driver cannot": `need(driver, 'snapshots').create(...)`. */
export function need<D extends { readonly name: string }, K extends keyof D & string>(driver: D, capability: K): NonNullable<D[K]> {
  const part = driver[capability];
  if (part === undefined || part === null) throw new Unsupported(driver.name, capability);
  return part;
}
