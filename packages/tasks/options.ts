import type { Db, Listener } from '@cumulet/db';
import type { Logger } from 'pino';
import type { Bell } from './bell.ts';

/** For tests: what to do before and after each step; a throw is what a crash or a failure at that point would be. */
export interface Faults {
  before?(plan: string, step: string, phase: 'run' | 'undo'): Promise<void> | void;
  after?(plan: string, step: string, phase: 'run' | 'undo'): Promise<void> | void;
}
export interface RunnerOptions {
  readonly db: Db;
  readonly bell: Bell;
  /** Hears cancels at once; without it they are seen at the next save. */
  readonly listener?: Listener;
  readonly log: Logger;
  /** Shown in the history of steps. */
  readonly host: string;
  /** Unique for this process. */
  readonly owner: string;
  readonly leaseSeconds: number;
  readonly sweepSeconds: number;
  /** Tasks at once, for each queue. */
  readonly concurrency: number;
  /** For tests: called before and after each step. */
  readonly faults?: Faults;
}
