import type { AnyPlan } from '@cumulet/tasks';

/** What a service brings to a worker: its plans, what their steps use, and which queues this host serves for it. */
export interface Work {
  readonly plans: readonly AnyPlan[];
  readonly deps: unknown;
  readonly queues: readonly string[];
  /** Facts of this host for its heartbeat (`workers.facts`), by service. */
  facts?(): Promise<Record<string, unknown>>;
  /** Called every so often while the worker runs: reports, reconciliation, time-outs. Errors are logged. */
  readonly periodic?: readonly { readonly name: string; readonly everySeconds: number; run(): Promise<void> }[];
  /** After registration, before tasks are taken: bring back what a restart of the host undid. */
  start?(): Promise<void>;
  close?(): Promise<void>;
}
