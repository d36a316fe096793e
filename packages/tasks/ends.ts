import type { Db, Listener } from '@cumulet/db';
import type { TaskRow } from './tasks.ts';

/** The channel on which the database tells every change of a task, by its id (migration 0001). */
export const taskChannel = 'cumulet_tasks';

/** What a task was when it was over; `absent`: there is none of that id; `late`: it still lives. */
export type Ended = Pick<TaskRow, 'state' | 'out' | 'error'> | 'absent' | 'late';

/** For requests whose reply is the result of a task: they sleep until the database says that the task has changed. */
export class Ends {
  readonly #db: Db;
  readonly #listener: Listener;
  readonly #waiting = new Map<string, Set<() => void>>();
  #listening: Promise<void> | undefined;
  constructor(db: Db, listener: Listener) {
    this.#db = db;
    this.#listener = listener;
  }

  async of(taskId: string, timeoutMs: number): Promise<Ended> {
    this.#listening ??= this.#listener.listen(taskChannel, id => this.#wake(id), () => { for (const id of this.#waiting.keys()) this.#wake(id); });
    await this.#listening;
    // From here on no change is missed; what happened before is in the row.
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => late.resolve('late'), timeoutMs);
    let changed = Promise.withResolvers<void>();
    const wake = () => changed.resolve();
    const others = this.#waiting.get(taskId);
    if (others) others.add(wake); else this.#waiting.set(taskId, new Set([wake]));
    try {
      for (;;) {
        const row = await this.#db('tasks').where({ id: taskId }).first('state', 'live', 'out', 'error') as Pick<TaskRow, 'state' | 'live' | 'out' | 'error'> | undefined;
        if (!row) return 'absent';
        if (!row.live) return row;
        if (await Promise.race([changed.promise, late.promise]) === 'late') return 'late';
        changed = Promise.withResolvers();
      }
    } finally {
      clearTimeout(timer);
      const all = this.#waiting.get(taskId);
      all?.delete(wake);
      if (all?.size === 0) this.#waiting.delete(taskId);
    }
  }

  #wake(id: string): void { for (const wake of this.#waiting.get(id) ?? []) wake(); }
}
