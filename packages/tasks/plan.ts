import type { Knex } from 'knex';
import type { Logger } from 'pino';
import type { z } from 'zod';

/** How a task ended, for the transaction that ends it. `error` is fit for users. */
export interface Outcome {
  readonly state: 'done' | 'failed' | 'cancelled';
  readonly error?: TaskError;
}
export interface TaskError {
  /** The step that failed. */
  readonly step: string;
  readonly message: string;
  /** A driver's word for it: absent, busy, full, unsupported, invalid, transient, broken. */
  readonly kind?: string;
  readonly cancelled?: boolean;
  /** Steps whose undo kept failing: what the reconciler has to clean. */
  readonly leftovers?: readonly string[];
}

/** What is fixed about a task while it runs. */
export interface TaskFacts {
  readonly taskId: string;
  readonly resourceId: string;
  readonly projectId: string | null;
  readonly userId: string | null;
  readonly requestId: string | null;
}

/** What a step may use. `out` holds what earlier steps returned. */
export interface Run<I, O, D> extends TaskFacts {
  readonly input: I;
  readonly out: O;
  readonly deps: D;
  /** Aborted on cancel, time-out, lost lease and shutdown: pass it to every driver call. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /** Which try of this step it is, from 1. */
  readonly attempt: number;
  /** Cheap: saved at most once a second. */
  progress(done: number, total: number): void;
  /** A transaction that commits only while this worker still owns the task. */
  transaction<T>(work: (trx: Knex.Transaction) => Promise<T>): Promise<T>;
  /** Parks the task until `until`; the step then runs again from its start. */
  sleep(until: Date): never;
  /** Parks the task until one of these others has ended, whatever became of it; the step then runs again from its start, and looks whether it may go on. Ended already: at once. */
  after(taskIds: readonly string[]): never;
  /**
   * Runs another task and gives its results. The first time it enqueues the child and parks this task, holding no worker; when the child has
   * ended this step runs again from its start and gets the answer here. A failed child throws `ChildFailed`; one that is not over at
   * `options.until`, or would only begin then, throws `ChildLate`.
   */
  child<CI, CO>(plan: Startable<CI, CO>, input: CI, options: ChildOptions): Promise<CO>;
}
export interface ChildOptions { readonly queue?: string; readonly lane: string; readonly resource: { readonly type: string; readonly id: string }; readonly until?: Date }

export interface StepOptions<I, O, D> {
  /** Milliseconds; default one hour. */
  readonly timeoutMs?: number;
  /** How many tries a transient error gets; default 5. */
  readonly attempts?: number;
  /** False: a cancel waits until the step is over. */
  readonly cancel?: boolean;
  /** Takes back what `run` did, also when `run` never finished or did nothing. Repeats safely. */
  readonly undo?: (t: Run<I, O, D>) => Promise<void>;
}
interface Step {
  readonly name: string;
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly cancel: boolean;
  run(t: Run<never, never, never>): Promise<unknown>;
  undo?(t: Run<never, never, never>): Promise<void>;
}
export type Settle<I, O, D> = (trx: Knex.Transaction, how: Outcome, t: TaskFacts & { readonly input: I; readonly out: Partial<O>; readonly deps: D }) => Promise<void>;
export type Resume<I> = (trx: Knex.Transaction, t: TaskFacts & { readonly input: I }) => Promise<void>;

interface Parts {
  readonly kind: string;
  readonly input: z.ZodType;
  readonly steps: readonly Step[];
  readonly revision: number;
  readonly cancellable: boolean;
  readonly settle?: Settle<never, never, never>;
  readonly resume?: Resume<never>;
}

/**
 * A kind of task: steps in order, each with its undo beside it, and how the task settles. A value: enqueuing needs no drivers, running gets them as
 * `deps`. Change `revision` when steps of tasks that may be under way change their meaning.
 */
export class Plan<I, O, D> {
  readonly parts: Parts;
  declare readonly types: { input: I; out: O; deps: D };
  constructor(parts: Parts) { this.parts = parts; }
  get kind(): string { return this.parts.kind; }

  /** `run` must be safe to repeat: after a crash the task goes on at the first step that was not saved. */
  step<N extends string, R>(name: N, run: (t: Run<I, O, D>) => Promise<R>, options: StepOptions<I, O & Partial<Record<N, R>>, D> = {}): Plan<I, O & Record<N, R>, D> {
    if (this.parts.steps.some(s => s.name === name)) throw new Error(`${this.kind} has two steps called ${name}`);
    const step: Step = {
      name, run: run as Step['run'], timeoutMs: options.timeoutMs ?? 3_600_000, attempts: options.attempts ?? 5, cancel: options.cancel ?? true,
      ...(options.undo ? { undo: options.undo as Step['undo'] } : {}) as { undo: NonNullable<Step['undo']> },
    };
    return new Plan({ ...this.parts, steps: [...this.parts.steps, step] });
  }
  /** Runs in the transaction that ends the task: the resource's last status and the task's agree, always. Must not call drivers. */
  settles(settle: Settle<I, O, D>): Plan<I, O, D> { return new Plan({ ...this.parts, settle: settle as Settle<never, never, never> }); }
  /** Lets a failed task be started again by its owner: moves the resource back to its transitional status, or throws. */
  resumes(resume: Resume<I>): Plan<I, O, D> { return new Plan({ ...this.parts, resume: resume as Resume<never> }); }
  /** Nobody may cancel it. */
  uncancellable(): Plan<I, O, D> { return new Plan({ ...this.parts, cancellable: false }); }
  revised(revision: number): Plan<I, O, D> { return new Plan({ ...this.parts, revision }); }
}

/** What starting a task needs of its plan, whatever its steps use. */
export interface Startable<I, O = unknown> {
  readonly kind: string;
  readonly parts: { readonly input: z.ZodType; readonly revision: number };
  readonly types: { readonly input: I; readonly out: O };
}

/** `const plan = planFor<VolumeDeps>()`, once for each service; then `plan('volume.create', schema).step(…)`. */
export const planFor = <D>() => <I>(kind: string, input: z.ZodType<I>): Plan<I, {}, D> => new Plan({ kind, input, steps: [], revision: 1, cancellable: true });

export type AnyPlan = Plan<never, never, never>;
/** Lists of plans of one service, to be registered with their deps. */
export const plans = (...list: readonly unknown[]): readonly AnyPlan[] => list as readonly AnyPlan[];
