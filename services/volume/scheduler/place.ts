import type { Settings } from '@cumulet/config';
import type { Knex } from 'knex';
import { filters, hasRoom, type Wish } from './filters.ts';
import { pools, type PoolState } from './pools.ts';
import { weighed } from './weighers.ts';

export interface Placement {
  /** `host@backend#pool`, or undefined when none fits. */
  readonly host?: string;
  /** How many of how many backends each filter refused, for the user: `CapacityFilter: 2 of 2`. */
  readonly refused?: string;
}

/**
 * Chooses a pool and holds its row until the transaction ends, in which the volume's row counts against it: decisions for a pool come one after
 * the other, and none is made on what another has used up in between. `wish.pool` with `anyway` skips the filters (an administrator's forced migration).
 */
export async function place(trx: Knex.Transaction, settings: Settings['volume'], wish: Wish): Promise<Placement> {
  const all = await pools(trx, settings.serviceDownSeconds) as unknown as PoolState[];
  let left = all.filter(p => p.up && !p.disabled && !p.frozen && (wish.service === undefined || p.service_host === wish.service) && (wish.pool === undefined || p.id === wish.pool) && !wish.not?.includes(p.id) && wish.reachable?.(p) !== false);
  if (left.length === 0) return { refused: all.length === 0 ? 'no backend has reported yet' : `${all.length} backend${all.length === 1 ? '' : 's'} known, none of them up, enabled and eligible` };
  const refusals = new Map<string, { by: number; of: number }>();
  const refused = () => [...refusals].map(([name, { by, of }]) => `${name} refused ${by} of ${of}`).join(', ');
  for (const name of ['QosSupport', 'EncryptionSupport', ...settings.scheduler.filters]) {
    const filter = filters[name];
    if (!filter) continue;
    const before = left.length;
    left = left.filter(p => filter(p, wish));
    if (left.length < before) refusals.set(name, { by: before - left.length, of: before });
    if (left.length === 0) return { refused: refused() };
  }
  for (const candidate of weighed(left, wish, settings.scheduler)) {
    const locked = await trx('volume_pools').where({ id: candidate.id }).forUpdate().first() as Partial<PoolState> | undefined;
    if (locked && (!settings.scheduler.filters.includes('CapacityFilter') || hasRoom({ ...candidate, ...locked }, wish))) return { host: candidate.id };
  }
  // The rest had room when they were read, and others have taken it since.
  const { by, of } = refusals.get('CapacityFilter') ?? { by: 0, of: left.length };
  refusals.set('CapacityFilter', { by: by + left.length, of });
  return { refused: refused() };
}
