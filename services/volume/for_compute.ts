import type { Trx } from '@cumulet/db';
import type { Tasks } from '@cumulet/tasks';
import type { Knex } from 'knex';

/** Whose the request is. `admin` sees every project's volumes. */
export interface Who { readonly projectId: string | undefined; readonly userId: string; readonly admin?: boolean }
export interface By { readonly projectId?: string | undefined; readonly userId?: string | undefined; readonly requestId?: string | undefined }

/** What other services may know of a volume. Sizes in GiB. */
export interface VolumeFacts {
  readonly id: string; readonly project_id: string; readonly status: string; readonly size: number; readonly name: string | null; readonly bootable: boolean; readonly multiattach: boolean;
  readonly availability_zone: string; readonly host: string | null; readonly type_id: string; readonly image_metadata: Readonly<Record<string, string>> | null; readonly encrypted: boolean;
  /** Front-end QoS of its type, for the hypervisor (`read_iops_sec` …). */
  readonly qos: Readonly<Record<string, string>> | null;
}
export interface AttachmentFacts {
  readonly id: string; readonly volume_id: string; readonly server_id: string | null; readonly status: 'reserved' | 'attaching' | 'attached' | 'detaching' | 'error_attaching' | 'error_detaching';
  readonly mode: string; readonly device: string | null; readonly attached_at: Date | null;
}
/** Where a child task on a volume runs: give it to `t.child(connectPlan, input, at)`. It waits for what is under way on the volume, its creation included. */
export interface At { readonly queue: string; readonly lane: string; readonly resource: { readonly type: string; readonly id: string } }

export interface ReserveOptions {
  readonly volumeId: string;
  readonly serverId: string;
  readonly who: Who;
  readonly mode?: 'rw' | 'ro';
  /** The caller's microversion knows multiattach (nova 2.60); false refuses a second attachment's volume. */
  readonly multiattach?: boolean;
  /** Id of the attachment, when the caller wants to know it beforehand. */
  readonly id?: string;
}
export interface CreateForServer {
  readonly by: By & { readonly projectId: string; readonly userId: string };
  readonly sizeGiB: number;
  readonly name?: string;
  readonly availabilityZone?: string;
  /** Name or id. */
  readonly volumeType?: string;
  readonly source: { readonly imageId: string } | { readonly snapshotId: string } | { readonly volumeId: string } | { readonly blank: true };
}

/** The functions with which compute changes volumes, all in compute's own transaction. */
export interface VolumesForCompute {
  /** A volume that `who` may see; throws 404 `Volume X could not be found.` */
  find(trx: Trx, who: Who, id: string): Promise<VolumeFacts>;
  findSnapshot(trx: Trx, who: Who, id: string): Promise<{ id: string; volume_id: string; size: number; status: string; name: string | null }>;
  /** A volume goes from available (or in-use, when multiattach) to reserved and gets an attachment row; throws nova's 400 (`Invalid volume: …`) otherwise. A volume that is still `creating` for the same server (createFor) may be reserved too. */
  reserve(trx: Knex.Transaction, o: ReserveOptions): Promise<AttachmentFacts & { readonly at: At }>;
  /** The row and the task that makes it. Throws 413 over quota and 400 for bad input. Reserve it in the same transaction. */
  createFor(trx: Knex.Transaction, tasks: Tasks, o: CreateForServer): Promise<VolumeFacts>;
  /** After the hypervisor has it: attachment attached, volume in-use. */
  complete(trx: Trx, attachmentId: string, o: { device: string }): Promise<void>;
  /** A detach begins: attachment and volume are detaching. Throws 400 when it is not attached. */
  beginDetach(trx: Knex.Transaction, attachmentId: string): Promise<AttachmentFacts & { readonly at: At }>;
  /** A detach failed: attached again. */
  rollDetach(trx: Trx, attachmentId: string): Promise<void>;
  /** After `disconnectPlan` (or when nothing was connected): the row goes, the volume is available when it was the last. Repeats. */
  release(trx: Trx, attachmentId: string): Promise<void>;
  /** delete_on_termination, after release: enqueues the deletion; does nothing when the volume is gone, attached elsewhere or has snapshots. Returns whether it will be deleted. */
  deleteFor(trx: Knex.Transaction, tasks: Tasks, by: By, volumeId: string): Promise<boolean>;
  at(trx: Trx, volumeId: string): Promise<At>;
  attachmentsOf(trx: Trx, serverIds: readonly string[]): Promise<AttachmentFacts[]>;
  /** One snapshot per volume, force as nova's create_snapshot_force: rows `creating` with their tasks, named as given. Quota applies (413). */
  snapshotForImage(trx: Knex.Transaction, tasks: Tasks, o: { readonly by: By & { readonly projectId: string; readonly userId: string }; readonly volumeId: string; readonly name: string; readonly description?: string }): Promise<{ id: string; size: number }>;
}
