import { operation, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { zones } from './store.ts';

export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'zones.list', summary: 'List availability zones', method: 'GET', path: '/os-availability-zone', policy: { anyone: 'upstream asks no rule' },
    handler: async () => ({ availabilityZoneInfo: (await zones(rt.db)).map(z => ({ zoneName: z.name, zoneState: { available: z.available } })) }),
  }),
];
