import type { Overstep } from '@cumulet/db';
import { BadRequest, Conflict, NotFound, TooLarge } from '@cumulet/wire';

/** Upstream's sentences for what is refused; clients and tests look for them. */
export const invalidVolume = (reason: string) => new BadRequest(`Invalid volume: ${reason}`);
export const invalidSnapshot = (reason: string) => new BadRequest(`Invalid snapshot: ${reason}`);
export const invalidInput = (reason: string) => new BadRequest(`Invalid input received: ${reason}`);
export const invalidGroup = (reason: string) => new BadRequest(`Invalid group: ${reason}`);
export const invalidGroupSnapshot = (reason: string) => new BadRequest(`Invalid group snapshot: ${reason}`);

export const volumeNotFound = (id: string) => new NotFound(`Volume ${id} could not be found.`);
export const snapshotNotFound = (id: string) => new NotFound(`Snapshot ${id} could not be found.`);
export const attachmentNotFound = (id: string) => new NotFound(`Volume attachment could not be found with filter: attachment_id = ${id}.`);
export const typeNotFound = (id: string) => new NotFound(`Volume type ${id} could not be found.`);
export const typeNotFoundByName = (name: string) => new NotFound(`Volume type with name ${name} could not be found.`);
export const metadataNotFound = (message: string) => new NotFound(message);
export const conflict = (message: string) => new Conflict(message);

const overLimit = (message: string) => new TooLarge(message, { headers: { 'retry-after': '0' } });
/** The 413 of a quota that is used up. `asked` is what this request wanted, in GiB, for the quotas that count GiB; `shown` names a type's quota by its type. */
export function overQuota(over: Overstep, asked: number, kind: 'volume' | 'snapshot' | 'group', shown = over.resource): Error {
  if (over.resource.startsWith('gigabytes')) return overLimit(`VolumeSizeExceedsAvailableQuota: Requested volume or snapshot exceeds allowed ${shown} quota. Requested ${asked}G, quota is ${over.limit}G and ${over.used - asked}G has been consumed.`);
  if (kind === 'snapshot') return overLimit(`SnapshotLimitExceeded: Maximum number of snapshots allowed (${over.limit}) exceeded`);
  if (kind === 'group') return overLimit(`GroupLimitExceeded: Maximum number of groups allowed (${over.limit}) exceeded`);
  return overLimit(`VolumeLimitExceeded: Maximum number of volumes allowed (${over.limit}) exceeded for quota '${shown}'.`);
}
export const tooBigVolume = (size: number, limit: number) => overLimit(`VolumeSizeExceedsLimit: Requested volume size ${size} is larger than maximum allowed limit ${limit}.`);
