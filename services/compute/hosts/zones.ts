import { operation, type Operation } from '@cumulet/http';
import { micros } from '@cumulet/wire';
import type { Compute } from '../compute.ts';
import { defaultZone } from '../scheduler/claim.ts';
import { hostRows, type HostRow } from './store.ts';

export const routes = (c: Compute): Operation[] => {
  const zones = async () => {
    const hosts: HostRow[] = await hostRows(c.rt.db);
    return { hosts, names: [...new Set(hosts.map(h => h.zone))].toSorted((a, b) => (a === defaultZone ? 1 : b === defaultZone ? -1 : a.localeCompare(b))) };
  };
  const available = (hosts: readonly HostRow[]) => hosts.some(h => !h.disabled);
  return [
    operation({
      id: 'availability_zones.list', summary: 'Availability zones', method: 'GET', path: '/os-availability-zone', policy: 'os_compute_api:os-availability-zone:list',
      handler: async () => { const { hosts, names } = await zones(); return { availabilityZoneInfo: names.map(zoneName => ({ zoneName, zoneState: { available: available(hosts.filter(h => h.zone === zoneName)) }, hosts: null })) }; },
    }),
    operation({
      id: 'availability_zones.detail', summary: 'Availability zones with their hosts', method: 'GET', path: '/os-availability-zone/detail', policy: 'os_compute_api:os-availability-zone:detail',
      handler: async () => {
        const { hosts, names } = await zones();
        const now = micros(new Date(c.rt.clock()));
        const internal = Object.fromEntries(['nova-scheduler', 'nova-conductor'].map(b => [b, { available: true, active: true, updated_at: now }]));
        return { availabilityZoneInfo: [{ zoneName: 'internal', zoneState: { available: true }, hosts: { [c.rt.settings.host]: internal } }, ...names.map(zoneName => {
          const mine = hosts.filter(h => h.zone === zoneName);
          return { zoneName, zoneState: { available: available(mine) }, hosts: Object.fromEntries(mine.map(h => [h.host, { 'nova-compute': { available: h.up, active: !h.disabled, updated_at: micros(h.seen_at) } }])) };
        })] };
      },
    }),
  ];
};
