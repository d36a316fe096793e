import type { Pool } from '@cumulet/drivers/block';
import type { Trx } from '@cumulet/db';
import type { Knex } from 'knex';

/** A row of `volume_pools` beside what is known of its service. Capacities are GiB. */
export interface PoolState {
  /** `host@backend#pool` */
  readonly id: string;
  readonly service_host: string;
  readonly backend: string;
  readonly pool: string;
  readonly total_gb: number;
  readonly free_gb: number;
  readonly provisioned_gb: number;
  readonly thin: boolean;
  readonly reserved_percentage: number;
  readonly max_over_subscription_ratio: number | null;
  readonly ratio_auto: boolean;
  readonly capabilities: Readonly<Record<string, string | number | boolean>>;
  readonly allocated_gb: number;
  readonly volume_count: number;
  readonly allocated_at_report: number;
  readonly reported_at: Date;
  readonly availability_zone: string;
  readonly disabled: boolean;
  readonly frozen: boolean;
  readonly up: boolean;
}

export const pools = (trx: Trx, downSeconds: number): Knex.QueryBuilder => trx('volume_pools as p')
  .join('volume_services as s', q => q.on('s.host', 'p.service_host').andOn('s.binary_name', trx.raw('?', ['cinder-volume'])))
  .select('p.*', 's.availability_zone', 's.disabled', 's.frozen', trx.raw('s.seen_at > now() - make_interval(secs => ?) as up', [downSeconds]));

/** What a pool holds now: the report, and what was placed since. Never less than what this database has placed there. */
export function provisionedNow(p: PoolState): number { return Math.max(p.provisioned_gb + p.allocated_gb - p.allocated_at_report, p.allocated_gb); }
export function freeNow(p: PoolState): number { return p.thin ? p.free_gb : p.free_gb - Math.max(0, p.allocated_gb - p.allocated_at_report); }
/** max_over_subscription_ratio; `auto` follows how much of what is provisioned is really used. */
export function ratioOf(p: PoolState): number {
  if (!p.ratio_auto) return p.max_over_subscription_ratio ?? 20;
  const provisioned = provisionedNow(p);
  return provisioned === 0 ? 20 : 1 + provisioned / (p.total_gb - p.free_gb + 1);
}

/** What a worker's backend says of itself, kept for the scheduler. */
export async function report(trx: Knex.Transaction, service: string, backend: string, zone: string, list: readonly Pool[], capabilities: Readonly<Record<string, unknown>>): Promise<void> {
  await trx('volume_services').insert({ binary_name: 'cinder-volume', host: service, availability_zone: zone, capabilities: JSON.stringify(capabilities) })
    .onConflict(['binary_name', 'host']).merge({ seen_at: trx.fn.now(), availability_zone: zone, capabilities: JSON.stringify(capabilities) });
  for (const p of list) {
    const id = `${service}#${p.name}`;
    const told = {
      service_host: service, backend, pool: p.name, total_gb: p.totalGiB, free_gb: p.freeGiB, provisioned_gb: p.provisionedGiB, thin: p.thin, reserved_percentage: p.reservedPercentage,
      max_over_subscription_ratio: p.maxOverSubscriptionRatio === 'auto' ? null : p.maxOverSubscriptionRatio, ratio_auto: p.maxOverSubscriptionRatio === 'auto', capabilities: JSON.stringify(p.capabilities), reported_at: trx.fn.now(),
    };
    await trx('volume_pools').insert({ id, ...told }).onConflict('id').merge(told);
    // Volumes still being made may or may not be in the report: they count as not, so that nothing is promised twice.
    await trx.raw(`update volume_pools p set allocated_gb = v.gb, volume_count = v.n, allocated_at_report = v.settled
      from (select coalesce(sum(size), 0) as gb, count(*) as n, coalesce(sum(size) filter (where status not in ('creating', 'extending', 'managing')), 0) as settled from volumes where host = ?) v where p.id = ?`, [id, id]);
  }
  await trx('volume_pools').where({ service_host: service }).whereNotIn('id', list.map(p => `${service}#${p.name}`)).delete();
}
/** A service of a kind that has no pools says that it lives. */
export async function seen(trx: Trx, binary: string, host: string, zone: string): Promise<void> {
  await trx('volume_services').insert({ binary_name: binary, host, availability_zone: zone }).onConflict(['binary_name', 'host']).merge({ seen_at: trx.fn.now() });
}
