import { openWork as computeWork } from '@cumulet/compute';
import { openWork as imageWork } from '@cumulet/image';
import { openWork as networkWork } from '@cumulet/network';
import type { Runtime, Work } from '@cumulet/service';
import { openWork as volumeWork } from '@cumulet/volume';

const openers: Record<Runtime['settings']['worker']['roles'][number], (rt: Runtime) => Promise<Work>> = { image: imageWork, volume: volumeWork, network: networkWork, compute: computeWork };

/** What this host does, by the setting `worker.roles`. */
export async function openWorks(rt: Runtime): Promise<ReadonlyMap<string, Work>> {
  const works = new Map<string, Work>();
  for (const role of ['image', 'volume', 'network', 'compute'] as const) if (rt.settings.worker.roles.includes(role)) works.set(role, await openers[role](rt));
  return works;
}
