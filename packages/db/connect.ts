import knex, { type Knex } from 'knex';
import pg from 'pg';

export type Db = Knex;
/** A transaction, or the database itself where a single statement will do. */
export type Trx = Knex | Knex.Transaction;

pg.types.setTypeParser(pg.types.builtins.INT8, Number);        // sizes in bytes and counts stay below 2^53
pg.types.setTypeParser(pg.types.builtins.NUMERIC, Number);

export interface ConnectOptions {
  /** `postgres://…`; a socket directory is given as `postgres://user@/name?host=/dir`. */
  readonly url: string;
  readonly pool: number;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  /** Milliseconds after which Postgres ends a statement; 0 never. */
  readonly statementTimeoutMs?: number;
}

/** Opens the pool. Connects at the first query. */
export const connect = (o: ConnectOptions): Db => knex({
  client: 'pg',
  connection: { connectionString: o.url, application_name: o.name, statement_timeout: o.statementTimeoutMs ?? 30_000, idle_in_transaction_session_timeout: 60_000, keepAlive: true } as Knex.PgConnectionConfig,
  pool: { min: 0, max: o.pool, idleTimeoutMillis: 30_000 },
  acquireConnectionTimeout: 15_000,
});

const again = new Set(['40001', '40P01']);   // serialization failure, deadlock
const afterwards = new WeakMap<object, (() => unknown)[]>();

/**
 * Runs `work` in one transaction; repeats it when Postgres asks for that. What `afterCommit` collected runs once it is committed.
 * `work` must have no effect outside the database.
 */
export async function transaction<T>(db: Db, work: (trx: Knex.Transaction) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const later: (() => unknown)[] = [];
    try {
      const result = await db.transaction(async trx => { afterwards.set(trx, later); return work(trx); });
      for (const run of later) await run();
      return result;
    } catch (error) {
      if (attempt < 5 && again.has(sqlState(error) ?? '')) continue;
      throw error;
    }
  }
}

/** Something to do once the transaction is committed, such as ringing a bell. It must not throw. Outside of `transaction` it runs at once. */
export function afterCommit(trx: Trx, run: () => unknown): void {
  const later = afterwards.get(trx);
  if (later) later.push(run); else void run();
}

/** The SQLSTATE of a Postgres error, if it is one. */
export const sqlState = (error: unknown): string | undefined => {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' && code.length === 5 ? code : undefined;
};
/** The unique constraint or index that refused a row: `duplicateOf(e) === 'users_name'`. */
export const duplicateOf = (error: unknown): string | undefined => (sqlState(error) === '23505' ? (error as { constraint?: string }).constraint : undefined);
/** The foreign key that refused a row or its deletion. */
export const brokenReference = (error: unknown): string | undefined => (sqlState(error) === '23503' ? (error as { constraint?: string }).constraint : undefined);

const awayStates = new Set(['57P01', '57P02', '57P03', '08000', '08001', '08003', '08006', '53300']);   // shut down, crashed, starting, connection lost, too many
const awayErrors = new Set(['ECONNREFUSED', 'ECONNRESET', 'ENOENT', 'EPIPE', 'ETIMEDOUT']);
/** What pg says without a code. Knex puts the statement before it: `select … - Connection terminated unexpectedly`. */
const awayWords = /(?:^| - )(?:Connection (?:terminated|ended)(?: unexpectedly)?|Client has encountered a connection error and is not queryable|Client was closed and is not queryable)$/;
/** Whether a statement failed because Postgres is not there (it restarts, or every connection is taken): the same request may succeed a moment later. */
export function databaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { code, syscall } = error as NodeJS.ErrnoException;
  return awayStates.has(sqlState(error) ?? '') || error.name === 'KnexTimeoutError' || awayWords.test(error.message)
    || (code !== undefined && awayErrors.has(code) && (syscall === 'connect' || syscall === 'read' || syscall === 'write') && /PGSQL|5432|ECONNRESET|EPIPE/.test(error.message));
}
