import type { Db } from '@cumulet/db';
import { describe, expect, test } from 'vitest';
import { Killed } from './execution.ts';
import type { Faults } from './options.ts';
import type { Runner } from './runner.ts';
import type { TaskRow, TaskState, Tasks } from './tasks.ts';

/** One try of a plan: a situation made afresh, and what must be true at its end. */
export interface Try {
  readonly taskId: string;
  /** The task succeeded: everything is there, once. */
  done(): Promise<void>;
  /** The task failed or was cancelled: a clean slate. The driver and the tables hold nothing that was not there before. */
  clean(state: 'failed' | 'cancelled'): Promise<void>;
}
export interface Proof {
  readonly plan: { readonly kind: string; readonly parts: { readonly steps: readonly { readonly name: string; readonly undo?: unknown }[]; readonly cancellable: boolean } };
  db(): Db;
  tasks(): Tasks;
  runner(faults?: Faults): Pick<Runner, 'run'>;
  /** Makes the situation and enqueues the task. Called for each case; nothing of an earlier case may matter. */
  start(): Promise<Try>;
}

/** Runs a task and its children to their end, skipping every wait. */
export async function finish(db: Db, runner: Pick<Runner, 'run'>, taskId: string, tries = 40): Promise<TaskRow> {
  for (let i = 0; i < tries; i++) {
    const row: TaskRow = await db('tasks').where({ id: taskId }).first();
    if (!row.live) return row;
    await db('tasks').where({ live: true }).whereNot({ state: 'parked' }).update({ run_after: db.fn.now(), lease_until: null });
    await db('tasks').where({ live: true, state: 'parked' }).whereNot({ run_after: 'infinity' }).update({ run_after: db.fn.now() });
    const due: { id: string }[] = await db('tasks as t').where({ live: true }).whereRaw(`t.run_after <= now() and not exists (select 1 from tasks e where e.lane = t.lane and e.live and e.seq < t.seq)`).orderBy('seq', 'desc').select('id');
    for (const { id } of due) await runner.run(id);
  }
  throw new Error(`task ${taskId} does not come to an end`);
}

/**
 * The tests that every plan passes: each step fails before and after it has run, the worker is killed before and after each step, also while
 * undoing, and the task is cancelled in each step. Whatever happens, it ends, in success or in a clean slate.
 */
export function provePlan(p: Proof): void {
  const steps = p.plan.parts.steps.map(s => s.name);
  const own = (plan: string, step: string, phase: string, wanted: string) => plan === p.plan.kind && step === wanted && phase === 'run';
  const judge = async (t: Try, row: TaskRow, expected?: TaskState) => {
    if (expected) expect(row.state, row.error?.message).toBe(expected);
    if (row.state === 'done') await t.done(); else await t.clean(row.state === 'cancelled' ? 'cancelled' : 'failed');
    expect(row.error?.leftovers).toBeUndefined();
  };
  const once = (run: () => void) => { let did = false; return () => { if (did) return; did = true; run(); }; };

  describe(`plan ${p.plan.kind}`, () => {
    test('succeeds', async () => {
      const t = await p.start();
      await judge(t, await finish(p.db(), p.runner(), t.taskId), 'done');
    });
    for (const wanted of steps) for (const when of ['before', 'after'] as const) {
      test(`fails ${when} ${wanted}`, async () => {
        const t = await p.start();
        const broken = () => { throw Object.assign(new Error('injected failure'), { kind: 'broken' }); };
        await judge(t, await finish(p.db(), p.runner({ [when]: (plan: string, step: string, phase: string) => { if (own(plan, step, phase, wanted)) broken(); } }), t.taskId), 'failed');
      });
      test(`is killed ${when} ${wanted}`, async () => {
        const t = await p.start();
        const kill = once(() => { throw new Killed(); });
        await judge(t, await finish(p.db(), p.runner({ [when]: (plan: string, step: string, phase: string) => { if (own(plan, step, phase, wanted)) kill(); } }), t.taskId), 'done');
      });
    }
    const last = steps.at(-1) as string;
    p.plan.parts.steps.forEach(({ name: undone, undo }) => {
      if (!undo) return;
      for (const when of ['before', 'after'] as const) test(`is killed ${when} undoing ${undone}`, async () => {
        const t = await p.start();
        const kill = once(() => { throw new Killed(); });
        const faults: Faults = {
          before: (plan, step, phase) => { if (when === 'before' && plan === p.plan.kind && step === undone && phase === 'undo') kill(); },
          after: (plan, step, phase) => {
            if (when === 'after' && plan === p.plan.kind && step === undone && phase === 'undo') kill();
            if (own(plan, step, phase, last)) throw Object.assign(new Error('injected failure'), { kind: 'broken' });
          },
        };
        await judge(t, await finish(p.db(), p.runner(faults), t.taskId), 'failed');
      });
    });
    if (p.plan.parts.cancellable) for (const wanted of steps) test(`is cancelled in ${wanted}`, async () => {
      const t = await p.start();
      await judge(t, await finish(p.db(), p.runner({ before: async (plan, step, phase) => { if (own(plan, step, phase, wanted)) await p.tasks().cancel(p.db(), t.taskId); } }), t.taskId));
    });
    test('is cancelled before it starts', async () => {
      const t = await p.start();
      await p.tasks().cancel(p.db(), t.taskId);
      await judge(t, await finish(p.db(), p.runner(), t.taskId));
    });
  });
}
