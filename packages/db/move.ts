import { Conflict, NotFound } from '@cumulet/wire';
import type { Trx } from './connect.ts';

/**
 * A kind of row that has a status. `moves` is the table of legal moves, `transitional` the statuses in which a task is at work:
 * the table has a CHECK that these, and only these, come with a `task_id` (see `transitionalCheck` in migrations/support.ts).
 */
export interface Resource<S extends string = string> {
  readonly table: string;
  /** As messages say it: `Volume`. */
  readonly label: string;
  readonly moves: Readonly<Record<S, readonly S[]>>;
  readonly transitional: readonly S[];
}

export interface MoveOptions<S extends string, R> {
  readonly from: readonly S[];
  readonly to: S;
  /** The task that is at work from now on; must be given exactly when `to` is transitional. */
  readonly task?: string;
  /** Only when this task holds the row: for a task's own settling, which another may have superseded. */
  readonly heldBy?: string;
  /** Further columns to write. */
  readonly set?: Readonly<Record<string, unknown>>;
  /** Further conditions that the row must meet, as in knex's where. */
  readonly and?: Readonly<Record<string, unknown>>;
  /** What to throw when the row is there but in another status (or does not meet `and`). */
  readonly refused?: (row: R) => Error;
  readonly absent?: () => Error;
}

/**
 * Moves one row from one status to another: compare-and-set and the table of legal moves in one. Returns the new row.
 * No lock outlives the caller's transaction, and none is held across a driver call.
 */
export async function move<S extends string, R extends { status: S }>(trx: Trx, of: Resource<S>, id: string, o: MoveOptions<S, R>): Promise<R> {
  for (const from of o.from) if (from !== o.to && !of.moves[from].includes(o.to)) throw new Error(`${of.label}: no move from ${from} to ${o.to}`);
  if (of.transitional.includes(o.to) !== (o.task !== undefined)) throw new Error(`${of.label}: ${o.to} ${o.task ? 'needs no' : 'needs a'} task`);
  const [moved] = await trx(of.table).where({ id, ...o.and, ...(o.heldBy === undefined ? {} : { task_id: o.heldBy }) }).whereIn('status', [...o.from])
    .update({ status: o.to, task_id: o.task ?? null, updated_at: trx.fn.now(), ...o.set }).returning('*');
  if (moved) return moved as R;
  const row: R | undefined = await trx(of.table).where({ id }).first();
  if (!row) throw o.absent?.() ?? new NotFound(`${of.label} ${id} could not be found.`);
  throw o.refused?.(row) ?? new Conflict(`${of.label} ${id} must be ${o.from.join(' or ')}, but is ${row.status}.`);
}

/** Like `move`, but says whether it moved: for settling, where another task may have taken the row over. */
export async function tryMove<S extends string, R extends { status: S }>(trx: Trx, of: Resource<S>, id: string, o: Omit<MoveOptions<S, R>, 'refused' | 'absent'>): Promise<R | undefined> {
  const missed = new Error('not moved');
  try { return await move<S, R>(trx, of, id, { ...o, refused: () => missed, absent: () => missed }); } catch (error) {
    if (error === missed) return undefined;
    throw error;
  }
}
