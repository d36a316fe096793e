export { afterCommit, brokenReference, connect, databaseAway, duplicateOf, sqlState, transaction, type ConnectOptions, type Db, type Trx } from './connect.ts';
export { keyset, type SortColumn } from './keyset.ts';
export { createListener, notify, type Listener } from './listen.ts';
export { migrate, type Migration } from './migrate.ts';
export { move, tryMove, type MoveOptions, type Resource } from './move.ts';
export { limitsOf, overLimit, usageOf, type Counts, type Overstep } from './quota.ts';
