import type { Db } from '@cumulet/db';
import type { Knex } from 'knex';
import { eventually } from '../harness/processes.ts';

const door = 20_260_001;

/**
 * Stops tasks at points of their plans, from outside: a trigger waits at an advisory lock that the test holds. A task that waits at a step has done the
 * step and not saved it; at `(end)` it is about to settle. What is killed there has to be done again, which is the worst moment of all.
 */
export class Points {
  readonly #db: Db;
  #held: Knex.Transaction | undefined;
  constructor(db: Db) { this.#db = db; }

  async install(): Promise<void> {
    await this.#db.raw('create schema faults');
    await this.#db.raw('create table faults.points (n integer generated always as identity, plan text not null, step text not null, task uuid)');
    await this.#db.raw(`create function faults.take() returns trigger language plpgsql as $$ begin
      update faults.points set task = new.id where n = (select n from faults.points where plan = new.plan and task is null order by n limit 1 for update skip locked);
      return new; end $$`);
    await this.#db.raw(`create function faults.wait() returns trigger language plpgsql as $$ begin
      if exists (select from faults.points p where p.task = new.id and case when p.step = '(end)' then old.live and new.state in ('done', 'failed', 'cancelled') else jsonb_exists(new.out, p.step) and not jsonb_exists(old.out, p.step) end)
      then perform pg_advisory_xact_lock_shared(${door}); end if;
      return new; end $$`);
    await this.#db.raw('create trigger faults_take before insert on tasks for each row execute function faults.take()');
    await this.#db.raw('create trigger faults_wait before update on tasks for each row execute function faults.wait()');
  }

  /** The next tasks of a plan stop, each at one of these steps. */
  async set(plan: string, steps: readonly string[]): Promise<void> {
    await this.#db('faults.points').insert(steps.map((step) => ({ plan, step })));
    if (this.#held) return;
    this.#held = await this.#db.transaction();
    await this.#held.raw('set local idle_in_transaction_session_timeout = 0');
    await this.#held.raw(`select pg_advisory_xact_lock(${door})`);
  }

  /** Until so many tasks stand at their points. */
  async reached(count: number, timeoutMs = 60_000): Promise<void> {
    let waiting = 0;
    await eventually(async () => (waiting = (await this.#waiting()).length) >= count, timeoutMs, `${count} tasks at their points`)
      .catch(async (error: unknown) => { throw new Error(`${String(error)}; ${waiting} stand, others: ${JSON.stringify(await this.#db('tasks').where({ live: true }).select('plan', 'state', 'step', 'error'))}`, { cause: error }); });
  }

  /** Lets the tasks go on; those whose worker was killed first are not let through: their last write must never come. */
  async open(how: { readonly killed: boolean }): Promise<void> {
    if (how.killed) for (const pid of await this.#waiting()) await this.#db.raw('select pg_terminate_backend(?)', [pid]);
    await this.#db('faults.points').delete();
    await this.#held?.commit();
    this.#held = undefined;
  }

  async #waiting(): Promise<number[]> {
    const { rows } = await this.#db.raw(`select pid from pg_locks where locktype = 'advisory' and not granted and objid = ${door}`);
    return (rows as { pid: number }[]).map((row) => row.pid);
  }
}
