import type { Trx } from '@cumulet/db';

export const knownZone = async (trx: Trx, name: string): Promise<boolean> => (await trx('volume_services').where({ availability_zone: name, disabled: false }).first('host')) !== undefined;
/** Zones with a service, and whether one of their services is enabled. */
export const zones = async (trx: Trx): Promise<{ name: string; available: boolean }[]> => trx('volume_services').select('availability_zone as name').select(trx.raw('bool_or(not disabled) as available')).groupBy('availability_zone').orderBy('availability_zone') as unknown as Promise<{ name: string; available: boolean }[]>;
