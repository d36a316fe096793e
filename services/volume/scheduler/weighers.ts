import type { Settings } from '@cumulet/config';
import { evaluate } from './formula.ts';
import { facts, thinFor, type Wish } from './filters.ts';
import { freeNow, provisionedNow, ratioOf, type PoolState } from './pools.ts';

type Weigher = (pool: PoolState, wish: Wish) => number;

/** Virtual free space when thin, real free space when thick. What is unlimited weighs least, so that measured pools fill first. */
const capacity: Weigher = (pool, wish) => {
  if (!Number.isFinite(pool.total_gb) || !Number.isFinite(pool.free_gb)) return Number.NEGATIVE_INFINITY;
  const reserved = pool.total_gb * pool.reserved_percentage / 100;
  return thinFor(pool, wish) ? pool.total_gb * ratioOf(pool) - provisionedNow(pool) - reserved : Math.floor(freeNow(pool) - reserved);
};
const weighers = (settings: Settings['volume']['scheduler']): Record<string, { weigh: Weigher; multiplier: number }> => ({
  CapacityWeigher: { weigh: capacity, multiplier: settings.capacityWeightMultiplier },
  AllocatedCapacityWeigher: { weigh: pool => pool.allocated_gb, multiplier: settings.allocatedCapacityWeightMultiplier },
  VolumeNumberWeigher: { weigh: pool => pool.volume_count, multiplier: settings.volumeNumberMultiplier },
  ChanceWeigher: { weigh: () => Math.random(), multiplier: 1 },
  GoodnessWeigher: {
    weigh: (pool, wish) => {
      const formula = pool.capabilities['goodness_function'];
      if (typeof formula !== 'string' || formula === '' || formula === 'None') return 0;
      const value = evaluate(formula, facts(pool, wish));
      return value >= 0 && value <= 100 ? value : 0;
    },
    multiplier: 1,
  },
});

/** Pools with the best first: each weigher's values are brought to 0..1 over the candidates, as upstream does, then multiplied and added. */
export function weighed(pools: readonly PoolState[], wish: Wish, settings: Settings['volume']['scheduler']): PoolState[] {
  const known = weighers(settings);
  const totals = new Map(pools.map(p => [p.id, 0]));
  for (const name of settings.weighers) {
    const w = known[name];
    if (!w) continue;
    const values = pools.map(p => w.weigh(p, wish));
    const finite = values.filter(Number.isFinite);
    const low = Math.min(...finite);
    const high = Math.max(...finite);
    pools.forEach((p, i) => {
      const value = values[i] as number;
      const norm = !Number.isFinite(value) || finite.length === 0 ? 0 : high === low ? 0 : (value - low) / (high - low);
      totals.set(p.id, (totals.get(p.id) ?? 0) + norm * w.multiplier);
    });
  }
  return pools.toSorted((a, b) => (totals.get(b.id) ?? 0) - (totals.get(a.id) ?? 0) || a.volume_count - b.volume_count || a.id.localeCompare(b.id));
}
