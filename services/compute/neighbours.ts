import { images, openImageAccess, type ImageAccess } from '@cumulet/image';
import { groupsForCompute, networkDeps, networksForCompute, type GroupsForCompute, type NetworksForCompute } from '@cumulet/network';
import type { Runtime } from '@cumulet/service';
import { olderNamesOf, volumesOf, type OlderNames, type VolumesForCompute } from '@cumulet/volume';

export type { NetworkFacts, PortFacts } from '@cumulet/network';
export type { ImageFacts } from '@cumulet/image';

/** Who asks, for look-ups that hide what is not theirs. */
export interface Who { readonly projectId: string | undefined; readonly userId: string; readonly admin: boolean }
/** Image's word for it. */
export const imageWho = (who: Who) => ({ projectId: who.projectId, isAdmin: who.admin });

/** The services beside compute, as functions that take the caller's transaction. */
export interface Neighbours { readonly images: typeof images; readonly networks: NetworksForCompute; readonly volumes: VolumesForCompute }
/** What requests have besides: the use cases that compute's older names stand for. */
export interface RequestNeighbours extends Neighbours { readonly groups: GroupsForCompute; readonly older: OlderNames }

/** For requests: nothing here reaches a host. */
export const neighbours = (rt: Runtime): RequestNeighbours => ({ groups: groupsForCompute({ get tasks() { return rt.tasks; } }), older: olderNamesOf(rt), images, volumes: volumesOf(rt), networks: networksForCompute({ db: rt.db, tasks: rt.tasks }) });

/** For a worker: it also plugs ports on its host and reads and writes image data. */
export async function hostNeighbours(rt: Runtime): Promise<Neighbours & { readonly access: ImageAccess }> {
  return { images, volumes: volumesOf(rt), networks: networksForCompute({ db: rt.db, tasks: rt.tasks, host: await networkDeps(rt) }), access: await openImageAccess(rt) };
}
