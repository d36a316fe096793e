import { plainCall } from '@cumulet/drivers';
import type { Runtime, Work } from '@cumulet/service';
import { join } from 'node:path';
import { openNetworkDriver } from './wiring/driver.ts';
import type { NetworkDeps } from './wiring/deps.ts';
import { reconcileHost, restoreHost } from './wiring/host.ts';
import { wiringPlans } from './wiring/tasks.ts';

/** Where the metadata proxies of this host find compute's metadata service. */
export const metadataSocket = (rt: Pick<Runtime, 'settings'>): string => join(rt.settings.home, 'run', 'metadata.sock');

/** The network driver of this host and what goes with it; compute's worker plugs its guests with it. One for each process. */
const opened = new WeakMap<Runtime, Promise<NetworkDeps>>();
export function networkDeps(rt: Runtime): Promise<NetworkDeps> {
  let deps = opened.get(rt);
  if (!deps) {
    deps = openNetworkDriver(rt).then(driver => ({ db: rt.db, driver, host: rt.settings.host, metadataSocket: metadataSocket(rt), hostAccess: rt.settings.network.hostAccess }));
    opened.set(rt, deps);
  }
  return deps;
}

export async function openWork(rt: Runtime): Promise<Work> {
  const deps = await networkDeps(rt);
  const call = () => ({ ...plainCall(), log: rt.log });
  return {
    plans: wiringPlans, deps, queues: [`host/${rt.settings.host}`],
    facts: async () => ({ driver: deps.driver.name }),
    start: () => restoreHost(deps, call()),
    periodic: [{ name: 'network.reconcile', everySeconds: 60, run: () => reconcileHost(deps, call()) }],
    // Guests keep their wires while a worker restarts; the helpers must not outlive Cumulet.
    close: () => deps.driver.stopAll(call(), { keepWires: true }),
  };
}
