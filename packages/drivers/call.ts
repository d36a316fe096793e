/** What every driver call gets from the task that makes it. */
export interface Call {
  /** The task's id: drivers may stamp it on temporary objects so that a resumed step finds its own. */
  readonly taskId: string;
  /** Aborted on cancel, lost lease, time-out or shutdown. A driver stops its work and throws `signal.reason`. */
  readonly signal: AbortSignal;
  /** Bytes done and in total (0 when unknown). Cheap to call often: the task engine throttles it. */
  progress(done: number, total: number): void;
  readonly log: Log;
}

/** The part of pino that drivers use. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export const silent: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** A call that nobody cancels or watches: for tests and one-off commands. */
export const plainCall = (taskId = 'none', signal: AbortSignal = new AbortController().signal): Call =>
  ({ taskId, signal, progress() {}, log: silent });
