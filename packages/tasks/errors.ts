/** This worker no longer owns the task: another took it over. It must write nothing more. */
export class LostLease extends Error { constructor(id: string) { super(`task ${id} has another owner`); } }
export class Cancelled extends Error { constructor() { super('Cancelled.'); } }
export class TimedOut extends Error { readonly kind = 'broken'; constructor(step: string, ms: number) { super(`The step ${step} did not finish within ${Math.round(ms / 1000)} seconds.`); } }
export class ShuttingDown extends Error { constructor() { super('The worker is shutting down.'); } }
/** The child task of a step failed or was cancelled; `message` is the child's. */
export class ChildFailed extends Error {
  readonly kind: string;
  readonly childId: string;
  constructor(childId: string, message: string, kind = 'broken') { super(message); this.childId = childId; this.kind = kind; }
}
/** The child was not over when the step's patience was; it goes on by itself. */
export class ChildLate extends Error { constructor() { super('The operation takes longer than it can be waited for.'); } }
/** Thrown through a step to let the worker go until a child has ended (`forChild`), others have (`after`), or `until`. */
export class Parked extends Error {
  readonly forChild: boolean;
  readonly until: Date | undefined;
  /** Tasks of others that have to end first. */
  readonly after: readonly string[];
  constructor(forChild: boolean, until?: Date, after: readonly string[] = []) { super('parked'); this.forChild = forChild; this.until = until; this.after = after; }
}
/** Drivers say `kind: 'transient'` when trying again may help. */
export const isTransient = (error: unknown): boolean => (error as { kind?: unknown } | undefined)?.kind === 'transient';
/** What users may read of an error: its own message when it was thrown on purpose (a driver's, a fault), else a plain sentence. */
export function publicMessage(error: unknown): string {
  const e = error as { kind?: unknown; status?: unknown; message?: unknown } | undefined;
  if (error instanceof Cancelled || error instanceof TimedOut || (e && (typeof e.kind === 'string' || typeof e.status === 'number'))) return String(e?.message);
  return 'An unexpected error stopped the operation. The operator\'s log tells more.';
}
