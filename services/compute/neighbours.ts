import { images, openImageAccess, type ImageAccess } from '@cumulet/image';
import { networkDeps, networksForCompute, type NetworksForCompute } from '@cumulet/network';
import type { Runtime } from '@cumulet/service';
import { volumesOf, type VolumesForCompute } from '@cumulet/volume';

export type { NetworkFacts, PortFacts } from '@cumulet/network';
export type { ImageFacts } from '@cumulet/image';

/** Who asks, for look-ups that hide what is not theirs. */
export interface Who { readonly projectId: string | undefined; readonly userId: string; readonly admin: boolean }
/** Image's word for it. */
export const imageWho = (who: Who) => ({ projectId: who.projectId, isAdmin: who.admin });

/** The services beside compute, as functions that take the caller's transaction. */
export interface Neighbours { readonly images: typeof images; readonly networks: NetworksForCompute; readonly volumes: VolumesForCompute }

/** For requests: nothing here reaches a host. */
export const neighbours = (rt: Runtime): Neighbours => ({ images, volumes: volumesOf(rt), networks: networksForCompute({ db: rt.db, tasks: rt.tasks }) });

/** For a worker: it also plugs ports on its host and reads and writes image data. */
export async function hostNeighbours(rt: Runtime): Promise<Neighbours & { readonly access: ImageAccess }> {
  return { images, volumes: volumesOf(rt), networks: networksForCompute({ db: rt.db, tasks: rt.tasks, host: await networkDeps(rt) }), access: await openImageAccess(rt) };
}
