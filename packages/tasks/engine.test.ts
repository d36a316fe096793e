import { connect, createListener, move, transaction, tryMove, type Db, type Resource } from '@cumulet/db';
import { newId } from '@cumulet/wire';
import pino from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { heldByTasks, usageTrigger } from '../../migrations/support.ts';
import { freshDatabase } from '../../test/harness/database.ts';
import { provePlan } from './testing.ts';
import { ChildLate, Ends, Killed, noBell, planFor, plans, Runner, Tasks, type Faults, type TaskRow } from './index.ts';

const Box: Resource<'creating' | 'available' | 'deleting' | 'error'> = {
  table: 'boxes', label: 'Box', transitional: ['creating', 'deleting'],
  moves: { creating: ['available', 'error', 'deleting'], available: ['deleting'], deleting: ['error', 'available'], error: ['deleting', 'creating'] },
};
interface Deps { store: Set<string>; trouble: { fail?: Error; hang?: boolean; at?: string; times?: number }; calls: string[] }
const plan = planFor<Deps>();
const trouble = async (t: { deps: Deps; signal: AbortSignal }, at: string) => {
  t.deps.calls.push(at);
  const { fail, hang, at: where, times } = t.deps.trouble;
  if (where !== at || times === 0) return;
  if (times !== undefined) t.deps.trouble.times = times - 1;
  if (hang) await new Promise((_, no) => t.signal.addEventListener('abort', () => no(t.signal.reason as Error)));
  if (fail) throw fail;
};
const create = plan('box.create', z.object({ id: z.string() }))
  .step('place', async t => { await trouble(t, 'place'); return 'shelf'; })
  .step('make', async t => { t.deps.store.add(t.input.id); await trouble(t, 'make'); }, { undo: async t => { await trouble(t, 'undo make'); t.deps.store.delete(t.input.id); } })
  .step('paint', async t => { await trouble(t, 'paint'); return { color: `red on ${t.out.place}` }; })
  .settles(async (trx, how, t) => { await tryMove(trx, Box, t.input.id, { from: ['creating'], to: how.state === 'done' ? 'available' : 'error', heldBy: t.taskId }); })
  .resumes(async (trx, t) => { await move(trx, Box, t.input.id, { from: ['error'], to: 'creating', task: t.taskId }); });
const remove = plan('box.delete', z.object({ id: z.string() })).uncancellable()
  .step('unmake', async t => { await trouble(t, 'unmake'); t.deps.store.delete(t.input.id); })
  .settles(async (trx, how, t) => { if (how.state === 'done') await trx('boxes').where({ id: t.input.id }).delete(); else await tryMove(trx, Box, t.input.id, { from: ['deleting'], to: 'error', heldBy: t.taskId }); });
const twice = plan('box.pack', z.object({ id: z.string(), inner: z.string() }))
  .step('inner', async t => t.child(create, { id: t.input.inner }, { lane: `box/${t.input.inner}`, resource: { type: 'box', id: t.input.inner } }), { undo: async t => { t.deps.calls.push('undo inner'); } })
  .step('wrap', async t => { await trouble(t, 'wrap'); return t.out.inner.paint.color; });

const hasty = plan('box.hasty', z.object({ inner: z.string(), until: z.string() }))
  .step('inner', async t => {
    try {
      await t.child(create, { id: t.input.inner }, { lane: `box/${t.input.inner}`, resource: { type: 'box', id: t.input.inner }, until: new Date(t.input.until) });
    } catch (error) {
      if (!(error instanceof ChildLate)) throw error;
      t.deps.calls.push('went on');
    }
  });

const odd = plan('box.odd', z.object({ id: z.string() }))
  .step('make', async t => { t.deps.store.add(t.input.id); }, { undo: async t => { t.deps.store.delete(t.input.id); } })
  .settles(async (trx, how, t) => {
    if (how.state === 'done') throw new TypeError('a bug');
    await move(trx, Box, t.input.id, { from: ['creating'], to: 'error', heldBy: t.taskId });
  });

let db: Db;
let listener: ReturnType<typeof createListener>;
const log = pino({ level: 'silent' });
const tasks = new Tasks(noBell, plans(create, remove, twice, hasty, odd));
let deps: Deps;
const worker = (owner: string, faults?: Faults, leaseSeconds = 2) => {
  const r = new Runner({ db, bell: noBell, listener, log, host: 'h', owner, leaseSeconds, sweepSeconds: 60, concurrency: 4, ...(faults ? { faults } : {}) });
  r.register(plans(create, remove, twice, hasty, odd), deps);
  return r;
};
const start = async (id = newId()) => transaction(db, async trx => {
  const task = await tasks.enqueue(trx, create, { id }, { resource: { type: 'box', id } });
  await trx('boxes').insert({ id, status: 'creating', task_id: task });
  return { id, task };
});
const box = (id: string) => db('boxes').where({ id }).first();
const row = async (id: string): Promise<TaskRow> => db('tasks').where({ id }).first();
const due = (id: string) => db('tasks').where({ id }).update({ run_after: db.fn.now(), lease_until: null });

beforeAll(async () => {
  const { url } = await freshDatabase();
  db = connect({ url, pool: 8, name: 'test' });
  listener = createListener(url, log, 'test');
  await db.raw(`create table boxes (id uuid primary key, status text not null, size integer not null default 2, project_id text not null default 'p', updated_at timestamptz)`);
  await heldByTasks(db, 'boxes', { transitional: ['creating', 'deleting'] });
  await usageTrigger(db, { table: 'boxes', service: 'boxes', counts: { "'boxes'": '1', "'room'": 'r.size' }, when: `r.status <> 'error'` });
});
afterAll(async () => { await listener.close(); await db.destroy(); });
beforeEach(async () => {
  await transaction(db, async trx => { await trx('boxes').delete(); await trx('tasks').delete(); });
  deps = { store: new Set(), trouble: {}, calls: [] };
});

test('a task runs its steps and settles its resource', async () => {
  const { id, task } = await start();
  await worker('a').run(task);
  expect(await box(id)).toMatchObject({ status: 'available', task_id: null });
  expect(await row(task)).toMatchObject({ state: 'done', live: false, out: { place: 'shelf', make: null, paint: { color: 'red on shelf' } } });
  expect((await row(task)).steps.map(s => [s.step, s.phase, s.error])).toEqual([['place', 'run', null], ['make', 'run', null], ['paint', 'run', null]]);
});
test('stuck is unrepresentable', async () => {
  const { id, task } = await start();
  await expect(db('boxes').insert({ id: newId(), status: 'creating' })).rejects.toThrow(/never_stuck/);
  await expect(db('boxes').insert({ id: newId(), status: 'creating', task_id: newId() })).rejects.toThrow(/live_task/);
  await expect(db('tasks').where({ id: task }).update({ state: 'done' })).rejects.toThrow(/live_task/);
  await expect(db('tasks').where({ id: task }).delete()).rejects.toThrow(/live_task/);
  await expect(db('boxes').where({ id }).update({ status: 'available' })).rejects.toThrow(/never_stuck/);
});
describe.each(['place', 'make', 'paint'])('trouble in %s', step => {
  test('a failure undoes everything', async () => {
    const { id, task } = await start();
    deps.trouble = { at: step, fail: Object.assign(new Error('no room'), { kind: 'full' }) };
    await worker('a').run(task);
    expect(await box(id)).toMatchObject({ status: 'error', task_id: null });
    expect(await row(task)).toMatchObject({ state: 'failed', error: { step, message: 'no room', kind: 'full' } });
    expect([...deps.store]).toEqual([]);
  });
  test('an unknown error tells users nothing', async () => {
    const { task } = await start();
    deps.trouble = { at: step, fail: new Error('secret path') };
    await worker('a').run(task);
    expect(JSON.stringify(await row(task))).not.toContain('secret');
  });
  test('a transient error is tried again', async () => {
    const { id, task } = await start();
    deps.trouble = { at: step, fail: Object.assign(new Error('later'), { kind: 'transient' }), times: 2 };
    for (let i = 0; i < 3; i++) { await worker('a').run(task); await due(task); }
    expect(await box(id)).toMatchObject({ status: 'available' });
  });
  test('a database that was away for a moment is nobody\'s failure', async () => {
    const { id, task } = await start();
    deps.trouble = { at: step, fail: Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write' }), times: 2 };
    for (let i = 0; i < 3; i++) { await worker('a').run(task); await due(task); }
    expect(await box(id)).toMatchObject({ status: 'available' });
  });
  test.each(['before', 'after'] as const)('a worker killed %s it is followed by another', async when => {
    const { id, task } = await start();
    await worker('a', { [when]: (_: string, at: string) => { if (at === step) throw new Killed(); } }).run(task);
    expect(await row(task)).toMatchObject({ state: 'running', live: true });
    await worker('b').run(task);                                       // still leased: not to be had
    expect(await box(id)).toMatchObject({ status: 'creating' });
    await due(task);
    await worker('b').run(task);
    expect(await box(id)).toMatchObject({ status: 'available' });
    expect([...deps.store]).toEqual([id]);
  });
  test('a cancel stops it and undoes', async () => {
    const { id, task } = await start();
    deps.trouble = { at: step, hang: true };
    const r = worker('a');
    await r.serve([]);
    const run = r.run(task);
    while (!deps.calls.includes(step)) await new Promise(f => setTimeout(f, 5));
    await transaction(db, trx => tasks.cancelByUser(trx, { id: task, plan: 'box.create', live: true }));
    await run;
    await r.stop();
    expect(await row(task)).toMatchObject({ state: 'cancelled' });
    expect(await box(id)).toMatchObject({ status: 'error', task_id: null });
    expect([...deps.store]).toEqual([]);
  });
  test('a shutdown lets another go on at once', async () => {
    const { id, task } = await start();
    deps.trouble = { at: step, hang: true, times: 1 };
    const r = worker('a');
    const run = r.run(task);
    while (!deps.calls.includes(step)) await new Promise(f => setTimeout(f, 5));
    await r.stop();
    await run;
    await worker('b').run(task);
    expect(await box(id)).toMatchObject({ status: 'available' });
  });
});
test('a worker that lost its lease writes nothing', async () => {
  const { id, task } = await start();
  deps.trouble = { at: 'paint', hang: true, times: 1 };
  const slow = worker('slow', {}, 60);
  const run = slow.run(task);
  while (!deps.calls.includes('paint')) await new Promise(f => setTimeout(f, 5));
  await due(task);
  await worker('b').run(task);
  await slow.stop();
  await run;
  expect(await box(id)).toMatchObject({ status: 'available' });
  expect(await row(task)).toMatchObject({ state: 'done', fence: 2 });
});
test('an undo that keeps failing does not hold the resource for ever', async () => {
  const { id, task } = await start();
  deps.trouble = { at: 'undo make', fail: new Error('stubborn') };
  await worker('a', { before: (_, step) => { if (step === 'paint') throw Object.assign(new Error('x'), { kind: 'broken' }); } }).run(task);
  for (let i = 0; i < 6; i++) { await due(task); await worker('a').run(task); }
  expect(await row(task)).toMatchObject({ state: 'failed', error: { leftovers: ['make'] } });
  expect(await box(id)).toMatchObject({ status: 'error' });
});
test('a delete supersedes a create and waits for its end', async () => {
  const { id, task } = await start();
  deps.trouble = { at: 'make', hang: true, times: 1 };
  const r = worker('a');
  await r.serve(['any']);
  void r.offer('any', task);
  while (!deps.calls.includes('make')) await new Promise(f => setTimeout(f, 5));
  const del = await transaction(db, async trx => {
    await tasks.supersede(trx, `box/${id}`);
    const d = await tasks.enqueue(trx, remove, { id }, { resource: { type: 'box', id } });
    await move(trx, Box, id, { from: ['creating'], to: 'deleting', task: d });
    return d;
  });
  while ((await row(del)).live) await new Promise(f => setTimeout(f, 10));
  await r.stop();
  expect(await box(id)).toBeUndefined();
  expect(await row(task)).toMatchObject({ state: 'cancelled' });
  expect(deps.store.has(id)).toBe(false);
});
test('a parent waits for its child without holding a worker', async () => {
  const [outer, inner] = [newId(), newId()];
  await db('boxes').insert({ id: inner, status: 'available' });
  const parent = await transaction(db, trx => tasks.enqueue(trx, twice, { id: outer, inner }, { resource: { type: 'pack', id: outer } }));
  const r = worker('a');
  await r.serve(['any']);
  while ((await row(parent)).live) await new Promise(f => setTimeout(f, 10));
  await r.stop();
  expect(await row(parent)).toMatchObject({ state: 'done', out: { wrap: 'red on shelf' } });
});
test('a parent with little patience goes on, and so does its child', async () => {
  for (const hang of [true, false]) {
    const inner = newId();
    await db('boxes').insert({ id: inner, status: 'available' });
    deps.calls.length = 0;
    deps.trouble = { at: 'paint', hang };
    const until = new Date(Date.now() + (hang ? 300 : 60_000)).toISOString();
    const parent = await transaction(db, trx => tasks.enqueue(trx, hasty, { inner, until }, { resource: { type: 'pack', id: inner } }));
    const r = worker('a');
    await r.serve(['any']);
    while ((await row(parent)).live) { await new Promise(f => setTimeout(f, 20)); await r.sweep(); }
    expect(await row(parent)).toMatchObject({ state: 'done' });
    expect(deps.calls.includes('went on')).toBe(hang);
    expect((await db('tasks').where({ parent_id: parent }).first('live')).live).toBe(hang);
    await r.stop();
  }
});
test('what is done and cannot be settled is undone, not kept for ever', async () => {
  const id = newId();
  const task = await transaction(db, async trx => {
    const made = await tasks.enqueue(trx, odd, { id }, { resource: { type: 'box', id } });
    await trx('boxes').insert({ id, status: 'creating', task_id: made });
    return made;
  });
  const r = worker('a');
  let tries = 0;
  for (; (await row(task)).live; tries += 1) {
    await db('tasks').where({ id: task }).update({ run_after: db.fn.now() });
    await r.run(task);
  }
  expect(tries).toBe(6);
  expect(await row(task)).toMatchObject({ state: 'failed', error: { step: 'make', message: 'An unexpected error stopped the operation. The operator\'s log tells more.' } });
  expect(await db('boxes').where({ id }).first('status')).toEqual({ status: 'error' });
  expect(deps.store.has(id)).toBe(false);
});
test('a cancelled parent waits until its child has undone', async () => {
  const [outer, inner] = [newId(), newId()];
  await db('boxes').insert({ id: inner, status: 'available' });
  deps.trouble = { at: 'paint', hang: true };
  const parent = await transaction(db, trx => tasks.enqueue(trx, twice, { id: outer, inner }, { resource: { type: 'pack', id: outer } }));
  const r = worker('a');
  await r.serve(['any']);
  while (!deps.calls.includes('paint')) await new Promise(f => setTimeout(f, 5));
  await transaction(db, trx => tasks.cancel(trx, parent));
  while ((await row(parent)).live) await new Promise(f => setTimeout(f, 10));
  await r.stop();
  expect(await row(parent)).toMatchObject({ state: 'cancelled' });
  expect(deps.calls.slice(-2)).toEqual(['undo make', 'undo inner']);
});
test('a failed task is started again by its owner', async () => {
  const { id, task } = await start();
  deps.trouble = { at: 'make', fail: new Error('x'), times: 1 };
  await worker('a').run(task);
  expect(await box(id)).toMatchObject({ status: 'error' });
  await transaction(db, trx => tasks.resume(trx, task));
  expect(await box(id)).toMatchObject({ status: 'creating', task_id: task });
  await worker('a').run(task);
  expect(await box(id)).toMatchObject({ status: 'available' });
  await expect(transaction(db, trx => tasks.resume(trx, task))).rejects.toThrow(/only a failed one/);
});
test('a task that waits for others is parked until one of them has ended, and holds no worker', async () => {
  const holder = planFor<typeof deps>()('boxes.waits', z.object({ ids: z.array(z.string()) })).step('wait', async t => {
    const busy = await t.transaction(trx => trx('tasks').whereIn('id', t.input.ids).where({ live: true }).select('id')) as { id: string }[];
    if (busy.length > 0) t.after(busy.map(b => b.id));
    return 'gone on';
  });
  const others = [(await start()).task, (await start()).task];
  const id = await transaction(db, trx => tasks.enqueue(trx, holder, { ids: others }, { resource: { type: 'x', id: 'waiting' } }));
  const a = worker('a');
  a.register([holder as never], deps);
  await a.run(id);
  const state = async () => db('tasks').where({ id }).first('state', 'owner', 'waits_for');
  expect(await state()).toMatchObject({ state: 'parked', owner: null });
  for (const other of others) { expect(await state()).not.toMatchObject({ state: 'done' }); await a.run(other); await a.run(id); }
  expect(await state()).toMatchObject({ state: 'done', waits_for: null });
  expect((await db('tasks').where({ id }).first('out')).out).toEqual({ wait: 'gone on' });
});
test('the same dedupe key is the same task while it lives', async () => {
  const make = () => transaction(db, trx => tasks.enqueue(trx, remove, { id: newId() }, { resource: { type: 'x', id: 'x' }, dedupe: 'one' }));
  const [a, b] = [await make(), await make()];
  expect(a).toBe(b);
  await worker('a').run(a);
  expect(await make()).not.toBe(a);
});
test('usage follows the rows', async () => {
  const used = async () => (await db('quota_usage').where({ service: 'boxes', project_id: 'q' }).first())?.used;
  const id = newId();
  await db('boxes').insert({ id, status: 'available', project_id: 'q', size: 3 });
  expect(await used()).toEqual({ boxes: 1, room: 3 });
  await db('boxes').where({ id }).update({ size: 10 });
  expect(await used()).toEqual({ boxes: 1, room: 10 });
  await db('boxes').where({ id }).update({ status: 'error' });
  expect(await used()).toEqual({ boxes: 0, room: 0 });
  await expect(transaction(db, async trx => { await trx('boxes').insert({ id: newId(), status: 'available', project_id: 'q' }); throw new Error('no'); })).rejects.toThrow('no');
  expect(await used()).toEqual({ boxes: 0, room: 0 });
});

provePlan({
  plan: create, db: () => db, tasks: () => tasks, runner: faults => worker('prover', faults),
  start: async () => {
    const { id, task } = await start();
    return {
      taskId: task,
      done: async () => { expect(await box(id)).toMatchObject({ status: 'available', task_id: null }); expect(deps.store.has(id)).toBe(true); },
      clean: async () => { expect(await box(id)).toMatchObject({ status: 'error', task_id: null }); expect(deps.store.has(id)).toBe(false); },
    };
  },
});

describe('whoever waits for the end of a task', () => {
  test('hears of it, before, during and after', async () => {
    const ends = new Ends(db, listener);
    const { task } = await start();
    const two = Promise.all([ends.of(task, 20_000), ends.of(task, 20_000)]);
    expect(await ends.of(task, 50)).toBe('late');
    await worker('a').run(task);
    for (const ended of [...await two, await ends.of(task, 20_000)]) expect(ended).toMatchObject({ state: 'done', out: { place: 'shelf' } });
    expect(await ends.of(newId(), 20_000)).toBe('absent');
  });
  test('misses nothing that happened while the database was not heard', async () => {
    const ends = new Ends(db, listener);
    const { task } = await start();
    const waiting = ends.of(task, 20_000);
    await ends.of(task, 50);
    // Its connection ends, and what is told meanwhile is lost.
    await db.raw(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'test listener'`);
    await worker('a').run(task);
    expect(await waiting).toMatchObject({ state: 'done' });
  });
});
