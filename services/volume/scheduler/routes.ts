import { operation, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { lastOf, NotFound, shape } from '@cumulet/wire';
import { anyQuery } from '../listing.ts';
import { strictBool } from '../shapes.ts';
import { typeByRef } from '../types/choose.ts';
import { filters } from './filters.ts';
import { pools, provisionedNow, ratioOf, type PoolState } from './pools.ts';
import { invalidInput } from '../faults.ts';
import { matches } from './specs.ts';

const PoolQuery = shape('PoolQuery', anyQuery);
const amount = (n: number) => (Number.isFinite(n) ? n : 'infinite');

/** What get_pools and capabilities show of a pool, in the names of upstream's drivers. */
const capabilities = (p: PoolState) => ({
  volume_backend_name: p.backend, ...p.capabilities, total_capacity_gb: amount(p.total_gb), free_capacity_gb: amount(p.free_gb), reserved_percentage: p.reserved_percentage, provisioned_capacity_gb: provisionedNow(p),
  max_over_subscription_ratio: p.ratio_auto ? 'auto' : ratioOf(p), thin_provisioning_support: p.thin, allocated_capacity_gb: p.allocated_gb, filter_function: p.capabilities['filter_function'] ?? null, goodness_function: p.capabilities['goodness_function'] ?? null,
  timestamp: `${p.reported_at.toISOString().slice(0, 23)}000`,
});

/** What the scheduler knows of the pools. */
export const routes = (rt: Runtime): Operation[] => {
  const all = () => pools(rt.db, rt.settings.volume.serviceDownSeconds).orderBy('p.id') as unknown as Promise<PoolState[]>;
  return [
    operation({
      id: 'pools.list', summary: 'List pools', method: 'GET', path: '/scheduler-stats/get_pools', policy: 'scheduler_extension:scheduler_stats:get_pools', query: PoolQuery,
      handler: async ctx => {
        const { detail, volume_type, name, ...rest } = Object.fromEntries(Object.entries(ctx.query).map(([k, v]) => [k, String(lastOf(v))]));
        const withDetail = detail === undefined ? false : strictBool(detail, invalidInput);
        let list = (await all()).filter(p => p.up);
        if (ctx.dialect.has('pool filters')) {
          if (name !== undefined) list = list.filter(p => p.id === name);
          for (const [key, value] of Object.entries(rest)) list = list.filter(p => { const has = (capabilities(p) as Record<string, unknown>)[key]; return has !== undefined && matches(has as string, value); });
          if (volume_type !== undefined && ctx.dialect.has('pools of a volume type')) {
            const type = await typeByRef(rt.db, volume_type, undefined);
            list = type ? list.filter(p => filters['CapabilitiesFilter']?.(p, { sizeGiB: 0, extraSpecs: type.extra_specs })) : [];
          }
        }
        return { pools: list.map(p => ({ name: p.id, ...(withDetail ? { capabilities: capabilities(p) } : {}) })) };
      },
    }),
    operation({
      id: 'capabilities.show', summary: 'Show what a backend can do', method: 'GET', path: '/capabilities/:host', policy: 'volume_extension:capabilities',
      handler: async ctx => {
        const host = ctx.params['host'] ?? '';
        const pool = (await all()).find(p => p.service_host === host || p.id === host);
        if (!pool) throw new NotFound(`Host ${host} could not be found.`);
        const about = (title: string, description: string, on: boolean) => ({ title, description, type: 'boolean', default: on });
        return {
          namespace: `OS::Storage::Capabilities::${host}`, vendor_name: pool.capabilities['vendor_name'] ?? 'Cumulet', volume_backend_name: pool.capabilities['volume_backend_name'] ?? pool.backend, pool_name: pool.pool,
          driver_version: String(pool.capabilities['driver_version'] ?? '1.0'), storage_protocol: pool.capabilities['storage_protocol'] ?? null, display_name: pool.backend, description: null, visibility: 'public', replication_targets: [],
          properties: {
            thin_provisioning: about('Thin Provisioning', 'Sets thin provisioning.', pool.thin), compression: about('Compression', 'Enables compression.', false), qos: about('QoS', 'Enables QoS.', pool.capabilities['QoS_support'] === true),
            replication_enabled: about('Replication', 'Enables replication.', false),
          },
        };
      },
    }),
  ];
};
