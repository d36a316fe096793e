import { metadataSocket } from '@cumulet/network';
import type { Runtime, Work } from '@cumulet/service';
import { join, resolve } from 'node:path';
import { serveRelay } from './consoles/relay.ts';
import type { ComputeDeps } from './deps.ts';
import { ImageCache } from './image_cache.ts';
import { serveMetadata } from './metadata/service.ts';
import { hostNeighbours } from './neighbours.ts';
import { computePlans } from './plans/index.ts';
import { hostQueue } from './servers/row.ts';
import { chooseHypervisor } from './work/choose.ts';
import { diskTravel, serveDisks } from './work/disks.ts';
import { confirmResizes, followEvents, offloadShelved, reclaimServers, reportHost, restoreServers, syncPower, tidyImages } from './work/host.ts';

/** This host's share of compute: its hypervisor, its metadata service, and whatever servers ask of it. */
export async function openWork(rt: Runtime): Promise<Work> {
  const { hypervisor, runner } = await chooseHypervisor(rt);
  const { access, ...near } = await hostNeighbours(rt);
  const seal = { sealer: () => rt.sealer, clock: rt.clock };
  const disks = await serveDisks({ ...seal, host: rt.settings.host, bind: rt.settings.bind, publicHost: rt.settings.publicHost ?? rt.settings.bind, port: rt.settings.hypervisor.disksPort, hypervisor, log: rt.log });
  const deps: ComputeDeps = {
    ...near, access, sealer: seal.sealer, disks: diskTravel({ ...seal, db: rt.db }), disksUrl: disks.url, db: rt.db, tasks: rt.tasks, clock: rt.clock, settings: rt.settings, host: rt.settings.host, hypervisor, cache: new ImageCache(join(resolve(rt.settings.home), 'instances', '_base'), access, runner),
  };
  const { log } = rt;
  let unfollow: (() => void) | undefined;
  let metadata: { close(): Promise<void> } | undefined;
  let consoles: { close(): Promise<void> } | undefined;
  return {
    plans: computePlans, deps, queues: ['any', hostQueue(rt.settings.host)],
    facts: () => reportHost(deps, log),
    periodic: [
      { name: 'power states', everySeconds: 60, run: () => syncPower(deps, log) },
      { name: 'shelved servers', everySeconds: 30, run: () => offloadShelved(deps) },
      { name: 'soft-deleted servers', everySeconds: 30, run: () => reclaimServers(deps) },
      { name: 'undecided resizes', everySeconds: 30, run: () => confirmResizes(deps) },
      { name: 'image cache', everySeconds: 3_600, run: () => tidyImages(deps) },
    ],
    async start() {
      metadata = await serveMetadata({ db: rt.db, neighbours: near, log, socketPath: metadataSocket(rt) });
      await reportHost(deps, log);
      consoles = await serveRelay({ db: rt.db, settings: rt.settings, log });
      unfollow = followEvents(deps, log);
      await restoreServers(deps, log);
    },
    async close() {
      unfollow?.();
      await metadata?.close();
      await consoles?.close();
      await disks.close();
      await hypervisor.close();
      await access.close();
    },
  };
}
