/**
 * The volume service (Cinder 3.0 to 3.71) and what other services may do with volumes.
 *
 * Compute, in its own transaction, with `const volumes = volumesOf(rt)` made once: `volumes.find`, `volumes.reserve`, `volumes.createFor`, `volumes.complete`, `volumes.beginDetach`, `volumes.rollDetach`,
 * `volumes.release`, `volumes.deleteFor`, `volumes.snapshotForImage`, `volumes.attachmentsOf`, `volumes.at` (see for_compute.ts).
 *
 * Compute, in the steps of its plans, as children on the volume's backend:
 *   const { connect } = await t.child(connectPlan, { attachmentId, connector: { host } }, at);     // ConnectionInfo, also for a volume that is still being created
 *   await t.child(disconnectPlan, { attachmentId }, at);                                            // nothing connected is success
 * Compute registers `hostPlans` with its hypervisor: snapshots, growth and moves of volumes that its servers write to.
 * `at` comes from `reserve`, `beginDetach` or `volumes.at(trx, volumeId)`.
 */
export type { AttachmentFacts, At, By, CreateForServer, ReserveOptions, VolumeFacts, VolumesForCompute, Who } from './for_compute.ts';
export { makeApp } from './app.ts';
export { connectPlan, disconnectPlan } from './attachments/plans.ts';
export { volumeKeysOf } from './encryption/for_hosts.ts';
export { backupsOf, type BackupRow, type BackupsForCatalogue, type ScheduleRow } from './backups/for_catalogue.ts';
export { bootstrap } from './bootstrap.ts';
export { olderNamesOf, type OlderNames, type OlderSnapshot, type OlderVolume } from './for_older_names.ts';
export { volumesOf } from './for_compute_work.ts';
export { hostPlans } from './host_plans.ts';
export { reimageForServerPlan } from './volumes/image_plans.ts';
export type { HostDeps } from './host/deps.ts';
export { extendGuestPlan } from './host/guest_plans.ts';
export { openWork, plans } from './work.ts';
