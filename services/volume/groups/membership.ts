import { BadRequest, isUuid, NotFound } from '@cumulet/wire';
import type { Knex } from 'knex';
import { invalidGroup } from '../faults.ts';
import type { TypeRow } from '../types/store.ts';
import { shownStatus } from '../volumes/states.ts';
import type { GroupRow } from './states.ts';

export const groupNotFound = (id: string) => new NotFound(`Group ${id} could not be found.`);

/** Checks of a volume that is to be made in a group; gives the group's backend. */
export async function groupForVolume(trx: Knex.Transaction, bound: string | undefined, groupId: string, type: TypeRow): Promise<string | undefined> {
  const group: GroupRow | undefined = isUuid(groupId) ? await trx('volume_groups').where({ id: groupId }).forShare().first() : undefined;
  if (!group || (bound !== undefined && group.project_id !== bound)) throw groupNotFound(groupId);
  if (group.status !== 'available') throw invalidGroup(`Group ${groupId} is ${shownStatus(group.status)}; volumes can be created in an available one.`);
  if (!group.volume_type_ids.includes(type.id)) throw new BadRequest(`Invalid input received: Invalid volume_type ${type.id} provided for group ${groupId}; it must be one of the group's types.`);
  return group.host?.split('#')[0];
}
