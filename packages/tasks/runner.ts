import { claim, dueTasks } from './claim.ts';
import { Cancelled, ShuttingDown } from './errors.ts';
import { Execution } from './execution.ts';
import type { RunnerOptions } from './options.ts';
import type { AnyPlan } from './plan.ts';
import { cancelChannel } from './tasks.ts';

/** Runs tasks: answers bells, sweeps for what no bell told, and gives everything back at shutdown. */
export class Runner {
  readonly #o: RunnerOptions;
  readonly #plans = new Map<string, { plan: AnyPlan; deps: unknown }>();
  readonly #queues = new Set<string>();
  readonly #running = new Map<string, Execution>();
  readonly #waiting: { queue: string; id: string; start: () => void }[] = [];
  readonly #busy = new Map<string, number>();
  #sweeper: NodeJS.Timeout | undefined;
  #stopping = false;
  constructor(options: RunnerOptions) { this.#o = options; }

  register(plans: readonly AnyPlan[], deps: unknown): void {
    for (const plan of plans) {
      if (this.#plans.has(plan.kind)) throw new Error(`two plans are called ${plan.kind}`);
      this.#plans.set(plan.kind, { plan, deps });
    }
  }
  get queues(): readonly string[] { return [...this.#queues]; }
  get active(): number { return this.#running.size; }

  /** Begins to serve queues; may be called again for more. */
  async serve(queues: readonly string[]): Promise<void> {
    for (const queue of queues) {
      if (this.#queues.has(queue)) continue;
      this.#queues.add(queue);
      await this.#o.bell.answer(queue, this.#o.concurrency, id => this.offer(queue, id));
    }
    if (this.#sweeper) return;
    await this.#o.listener?.listen(cancelChannel, id => this.#running.get(id)?.stop(new Cancelled()));
    const again = () => { this.#sweeper = setTimeout(() => void this.sweep().catch(error => this.#o.log.warn({ err: error }, 'sweep failed')).finally(() => { if (!this.#stopping) again(); }), this.#o.sweepSeconds * 1000); };
    again();
    void this.sweep().catch(error => this.#o.log.warn({ err: error }, 'sweep failed'));
  }

  /** Takes up whatever is due. */
  async sweep(): Promise<void> {
    if (this.#stopping) return;
    for (const id of await dueTasks(this.#o.db, this.queues, this.#o.concurrency * 4)) void this.offer('sweep', id);
  }

  /** Runs a task when there is room; resolves when it is no longer in this worker's hands. */
  async offer(queue: string, id: string): Promise<void> {
    if (this.#stopping || this.#running.has(id) || this.#waiting.some(w => w.id === id)) return;
    if ((this.#busy.get(queue) ?? 0) >= this.#o.concurrency) await new Promise<void>(start => this.#waiting.push({ queue, id, start }));
    this.#busy.set(queue, (this.#busy.get(queue) ?? 0) + 1);
    try { if (!this.#stopping) await this.run(id); } catch (error) { this.#o.log.error({ err: error, task: id }, 'the task engine failed; the sweep will try again'); } finally {
      this.#busy.set(queue, (this.#busy.get(queue) ?? 1) - 1);
      const next = this.#waiting.findIndex(w => w.queue === queue);
      if (next >= 0) this.#waiting.splice(next, 1)[0]?.start();
    }
  }

  /** Claims and runs one task now, if it is there to be had. Then whatever waited for it. */
  async run(id: string): Promise<void> {
    if (this.#running.has(id)) return;
    const row = await claim(this.#o.db, id, this.#o.owner, this.#o.leaseSeconds);
    if (!row) return;
    const known = this.#plans.get(row.plan);
    if (!known || known.plan.parts.revision < row.revision) {
      this.#o.log.error({ task: id, plan: row.plan, revision: row.revision }, 'no such plan here; left for a newer worker');
      await this.#o.db('tasks').where({ id, fence: row.fence }).update({ lease_until: null, run_after: this.#o.db.raw(`now() + interval '30 seconds'`) });
      return;
    }
    const execution = new Execution(this.#o, row, known.plan, known.deps);
    this.#running.set(id, execution);
    let due: readonly { queue: string; id: string; fence: number }[] = [];
    try { due = await execution.go(); } finally { this.#running.delete(id); }
    for (const next of due) {
      if (this.#queues.has(next.queue) && !this.#stopping) void this.offer(next.queue, next.id);
      else await this.#o.bell.ring(next.queue, next.id, next.fence);
    }
  }

  /** Lets every task go: steps are aborted, leases given back, so that another worker resumes at once. */
  async stop(graceMs = 5_000): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#sweeper);
    for (const w of this.#waiting.splice(0)) w.start();
    for (const e of this.#running.values()) e.stop(new ShuttingDown());
    const end = Date.now() + graceMs;
    while (this.#running.size > 0 && Date.now() < end) await new Promise(r => setTimeout(r, 20));
  }
}
