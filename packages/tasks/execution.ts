import { databaseAway, transaction } from '@cumulet/db';
import { childOf } from './children.ts';
import { wakened } from './claim.ts';
import { Cancelled, isTransient, LostLease, Parked, publicMessage, ShuttingDown, TimedOut } from './errors.ts';
import type { RunnerOptions } from './options.ts';
import type { AnyPlan, ChildOptions, Outcome, Run, Startable, TaskError } from './plan.ts';
import { factsOf, type StepRecord, type TaskRow } from './tasks.ts';

/** Thrown by `Faults`: the worker dies here, saving nothing. */
export class Killed extends Error {}

type Due = readonly { queue: string; id: string; fence: number }[];
type Step = AnyPlan['parts']['steps'][number];
const undoAttempts = 6;
/** Tries of a step whose database went away: a restart of Postgres is nobody's failure. */
const awayAttempts = 8;
/** After so many settles that threw, what was done is undone. */
const settleAttempts = 5;

/** Milliseconds to wait before the next try: 1 s, 2 s, 4 s … at most a minute, with jitter. */
const backoff = (attempt: number): number => Math.min(60_000, 1_000 * 2 ** (attempt - 1)) * (0.75 + Math.random() / 2);

const triesOf = (step: Step, error: unknown): number => (isTransient(error) ? step.attempts : databaseAway(error) ? Math.max(step.attempts, awayAttempts) : 1);

/** One claim's run of one task. Every write carries the fence. */
export class Execution {
  readonly #o: RunnerOptions;
  readonly #plan: AnyPlan;
  readonly #deps: unknown;
  #row: TaskRow;
  #stop = new AbortController();
  #over = new AbortController();       // lost lease or shutdown: ends undo steps too
  #progress: { done: number; total: number } | undefined;
  #step: Step | undefined;
  #beating = false;
  constructor(options: RunnerOptions, row: TaskRow, plan: AnyPlan, deps: unknown) {
    this.#o = options;
    this.#row = row;
    this.#plan = plan;
    this.#deps = deps;
  }

  stop(why: Error): void {
    if (why instanceof Cancelled && (this.#row.state !== 'running' || this.#step?.cancel === false)) return;   // seen at the next save
    this.#stop.abort(why);
    if (!(why instanceof Cancelled)) this.#over.abort(why);
  }

  /** Runs to the end, to a wait or to a loss; gives the tasks that are due because of it. */
  async go(): Promise<Due> {
    const beat = setInterval(() => void this.#beat(), Math.max(200, this.#o.leaseSeconds * 1000 / 4));
    const flush = setInterval(() => void this.#flush(), 1_000);
    try {
      return await this.#forward() ?? await this.#backward();
    } catch (error) {
      if (error instanceof LostLease || error instanceof Killed) return [];
      if (error instanceof ShuttingDown || this.#over.signal.reason instanceof ShuttingDown) { await this.#release(new Date()); return []; }
      throw error;
    } finally { clearInterval(beat); clearInterval(flush); }
  }

  async #forward(): Promise<Due | undefined> {
    if (this.#row.state !== 'running') return undefined;
    const { steps } = this.#plan.parts;
    try {
      for (const step of steps) {
        if (step.name in this.#row.out) continue;
        const repeated = this.#row.step === step.name && this.#row.steps.at(-1)?.ended_at === null;
        await this.#save({ step: step.name, ...(repeated ? {} : { steps: JSON.stringify([...this.#row.steps, this.#begun(step.name, 'run')]) }) });
        this.#step = step;
        if (this.#row.cancel_requested) throw new Cancelled();
        const result = await this.#perform(step, 'run');
        // The end of one step and the beginning of the next would be one write more; both are in the next save.
        this.#row = { ...this.#row, out: { ...this.#row.out, [step.name]: result ?? null }, attempt: 0, steps: this.#ended(null) };
        await this.#save({ out: JSON.stringify(this.#row.out), attempt: 0, steps: JSON.stringify(this.#row.steps) });
        if (this.#row.cancel_requested && step !== steps.at(-1)) throw new Cancelled();
      }
      this.#step = undefined;
      return await this.#end({ state: 'done' });
    } catch (error) {
      if (error instanceof LostLease || error instanceof Killed || error instanceof ShuttingDown || this.#over.signal.aborted) throw error;
      if (error instanceof Parked) return this.#park(error);
      const step = this.#step;
      // Between steps nothing of a plan has failed, only a write of ours: whoever has the task next goes on from what was saved.
      if (!step && databaseAway(error)) throw error;
      if (step && this.#row.attempt + 1 < triesOf(step, error)) {
        this.#o.log.warn({ task: this.#row.id, plan: this.#row.plan, step: step.name, attempt: this.#row.attempt + 1, err: error }, 'step failed, trying again');
        await this.#save({ attempt: this.#row.attempt + 1, steps: JSON.stringify(this.#ended(publicMessage(error))) });
        await this.#release(new Date(Date.now() + backoff(this.#row.attempt)));
        return [];
      }
      const cancelled = error instanceof Cancelled || (this.#row.cancel_requested && this.#stop.signal.reason instanceof Cancelled);
      if (!cancelled) this.#o.log.warn({ task: this.#row.id, plan: this.#row.plan, step: step?.name, resource: this.#row.resource_id, err: error }, 'step failed; undoing');
      const kind = (error as { kind?: unknown }).kind;
      const saved: TaskError = { step: step?.name ?? '', message: cancelled ? 'Cancelled.' : publicMessage(error), ...(typeof kind === 'string' ? { kind } : {}), ...(cancelled ? { cancelled } : {}) };
      await this.#save({ state: 'undoing', error: JSON.stringify(saved), attempt: 0, steps: JSON.stringify(this.#ended(saved.message)) });
      return undefined;
    }
  }

  /** Undoes backwards from the step that was reached, which may have half run. */
  async #backward(): Promise<Due> {
    const { steps } = this.#plan.parts;
    const error = this.#row.error as TaskError;
    const reached = steps.findIndex(s => s.name === error.step);
    const leftovers = [...error.leftovers ?? []];
    for (const step of steps.slice(0, reached + 1).toReversed()) {
      if (!step.undo || this.#row.undone.includes(step.name)) continue;
      this.#step = step;
      await this.#save({ step: step.name, steps: JSON.stringify([...this.#row.steps, this.#begun(step.name, 'undo')]) });
      let failed: unknown;
      try { await this.#perform(step, 'undo'); } catch (undoError) {
        if (undoError instanceof LostLease || undoError instanceof Killed || undoError instanceof ShuttingDown || this.#over.signal.aborted) throw undoError;
        failed = undoError;
      }
      if (failed !== undefined) {
        this.#o.log.error({ task: this.#row.id, plan: this.#row.plan, step: step.name, attempt: this.#row.attempt + 1, err: failed }, 'undo failed');
        await this.#save({ attempt: this.#row.attempt + 1, steps: JSON.stringify(this.#ended(publicMessage(failed))) });
        if (this.#row.attempt < undoAttempts) { await this.#release(new Date(Date.now() + backoff(this.#row.attempt))); return []; }
        leftovers.push(step.name);
      }
      await this.#save({
        undone: [...this.#row.undone, step.name], attempt: 0,
        ...(failed === undefined ? { steps: JSON.stringify(this.#ended(null)) } : { error: JSON.stringify({ ...error, leftovers }) }),
      });
    }
    return this.#end({ state: error.cancelled ? 'cancelled' : 'failed', error: { ...error, ...(leftovers.length > 0 ? { leftovers } : {}) } });
  }

  async #perform(step: Step, phase: 'run' | 'undo'): Promise<unknown> {
    const { faults } = this.#o;
    const late = new AbortController();
    const signal = AbortSignal.any([late.signal, phase === 'run' ? this.#stop.signal : this.#over.signal]);
    const timer = setTimeout(() => late.abort(new TimedOut(step.name, step.timeoutMs)), step.timeoutMs);
    let grace: NodeJS.Timeout | undefined;
    // A driver that does not heed the signal is given up after a moment; the fence keeps it from writing.
    const over = new AbortController();
    const given = new Promise<never>((_, no) => signal.addEventListener('abort', () => { grace = setTimeout(() => no(signal.reason as Error), 5_000); }, { once: true, signal: over.signal }));
    given.catch(() => undefined);      // the race below may never begin, or be over: nobody else hears it then
    try {
      await faults?.before?.(this.#plan.kind, step.name, phase);
      signal.throwIfAborted();
      const work = (phase === 'run' ? step.run : step.undo as NonNullable<Step['undo']>)(this.#context(step, signal) as never);
      const result = await Promise.race([work, given]);
      await faults?.after?.(this.#plan.kind, step.name, phase);
      return result;
    } catch (error) {
      if (error instanceof Killed) throw error;
      if (signal.aborted) throw signal.reason;       // whatever the driver said, this is why it stopped
      throw error;
    } finally { over.abort(); clearTimeout(timer); clearTimeout(grace); }
  }

  #context(step: Step, signal: AbortSignal): Run<unknown, unknown, unknown> {
    const row = this.#row;
    return {
      ...factsOf(row), input: row.input, out: row.out, deps: this.#deps, signal, attempt: row.attempt + 1,
      log: this.#o.log.child({ task: row.id, plan: row.plan, step: step.name, req_id: row.request_id }),
      progress: (done, total) => { this.#progress = { done, total }; },
      transaction: work => transaction(this.#o.db, async trx => {
        const owned = await trx('tasks').where({ id: row.id, fence: row.fence }).forShare().first('id');
        if (!owned) throw new LostLease(row.id);
        return work(trx);
      }),
      sleep: until => { throw new Parked(false, until); },
      after: taskIds => { throw new Parked(false, undefined, taskIds); },
      child: <CI, CO>(plan: Startable<CI, CO>, input: CI, options: ChildOptions) => childOf<CI, CO>(this.#o, row, step.name, plan, input, options),
    };
  }

  #begun(step: string, phase: 'run' | 'undo'): StepRecord {
    return { step, phase, attempt: this.#row.attempt + 1, host: this.#o.host, started_at: new Date().toISOString(), ended_at: null, error: null };
  }
  #ended(error: string | null): StepRecord[] {
    const last = this.#row.steps.at(-1);
    return last && last.ended_at === null ? [...this.#row.steps.slice(0, -1), { ...last, ended_at: new Date().toISOString(), error }] : this.#row.steps;
  }

  async #save(patch: object): Promise<void> {
    const progress = this.#progress ? { progress_done: Math.round(this.#progress.done), progress_total: Math.round(this.#progress.total) } : {};
    this.#progress = undefined;
    const [row] = await this.#o.db('tasks').where({ id: this.#row.id, fence: this.#row.fence, live: true })
      .update({ ...progress, ...patch, updated_at: this.#o.db.fn.now(), lease_until: this.#o.db.raw('now() + make_interval(secs => ?)', [this.#o.leaseSeconds]) }).returning('*');
    if (!row) { const lost = new LostLease(this.#row.id); this.stop(lost); throw lost; }
    this.#row = row;
  }
  async #beat(): Promise<void> {
    // While the database is slow, beats must not pile up: each would hold a connection that the others wait for.
    if (this.#beating) return;
    this.#beating = true;
    try {
      await this.#save({});
      if (this.#row.cancel_requested) this.stop(new Cancelled());
    } catch (error) { if (!(error instanceof LostLease)) this.#o.log.warn({ err: error, task: this.#row.id }, 'heartbeat failed'); } finally { this.#beating = false; }
  }
  async #flush(): Promise<void> { if (this.#progress) await this.#beat(); }

  /** Lets go of the task until `at`. */
  async #release(at: Date): Promise<void> {
    await this.#o.db('tasks').where({ id: this.#row.id, fence: this.#row.fence }).update({ lease_until: null, owner: null, run_after: at });
  }

  async #park(parked: Parked): Promise<Due> {
    const { id, fence } = this.#row;
    return transaction(this.#o.db, async trx => {
      const child = parked.forChild ? await trx('tasks').where({ parent_id: id, live: true }).first('id', 'queue', 'fence') : undefined;
      // Held until this commits: each of them ends before it, and is not waited for, or after it, and finds who waits.
      const others: { id: string }[] = parked.after.length > 0 ? await trx('tasks').whereIn('id', [...parked.after]).where({ live: true }).orderBy('id').forShare().select('id') : [];
      // A child that ended in between has found no parked parent to wake: go on at once.
      const waits = parked.after.length > 0 ? others.length > 0 : !parked.forChild || child !== undefined;
      const changed = await trx('tasks').where({ id, fence, live: true }).update({
        state: waits ? 'parked' : 'queued', lease_until: null, owner: null, updated_at: trx.fn.now(), run_after: waits ? parked.until ?? 'infinity' : trx.fn.now(), waits_for: others.length > 0 ? others.map(o => o.id) : null,
      });
      if (changed === 0) throw new LostLease(id);
      return [...(child ? [child] : []), ...(waits ? [] : [{ id, queue: this.#row.queue, fence }])];
    });
  }

  /** The one transaction in which a task ends: its state, its resource's, and who may go on because of it. */
  async #end(how: Outcome): Promise<Due> {
    const row = this.#row;
    const due: { queue: string; id: string; fence: number }[] = [];
    try {
      await transaction(this.#o.db, async trx => {
        due.length = 0;
        const ended = await trx('tasks').where({ id: row.id, fence: row.fence, live: true })
          .update({ state: how.state, ended_at: trx.fn.now(), updated_at: trx.fn.now(), lease_until: null, owner: null, ...(how.error ? { error: JSON.stringify(how.error) } : {}) });
        if (ended === 0) throw new LostLease(row.id);
        await this.#plan.parts.settle?.(trx, how, { ...factsOf(row), input: row.input as never, out: row.out as never, deps: this.#deps as never });
        due.push(...await wakened(trx, row));
      });
    } catch (error) {
      if (error instanceof LostLease) throw error;
      // A settle that throws is a bug, or the database went away: the task stays alive and is tried again, it does not vanish. What was done
      // and cannot be settled at all is undone, so that its resource does not wait for ever for an end that never comes.
      const tries = row.attempt + 1;
      const hopeless = how.state === 'done' && tries >= settleAttempts;
      this.#o.log.error({ err: error, task: row.id, plan: row.plan, tries }, hopeless ? 'the task cannot settle; undoing' : 'the task could not settle; trying again');
      await this.#save(hopeless ? { state: 'undoing', attempt: 0, error: JSON.stringify({ step: this.#plan.parts.steps.at(-1)?.name ?? '', message: publicMessage(error) }) } : { attempt: tries });
      await this.#release(new Date(Date.now() + (hopeless ? 0 : backoff(tries))));
    }
    return due;
  }
}
