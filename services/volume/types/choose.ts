import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';
import { invalidInput, typeNotFoundByName } from '../faults.ts';
import { defaultType, typeById, typeByName, type TypeRow } from './store.ts';

/** A type by id or name, as requests may give either. */
export async function typeByRef(trx: Trx, ref: string, bound: string | undefined): Promise<TypeRow | undefined> {
  return (isUuid(ref) ? await typeById(trx, ref, bound) : undefined) ?? typeByName(trx, ref, bound);
}
/** The type of a new volume: as asked, else its source's, else the image's wish, else the default. */
export async function chooseType(trx: Trx, o: { asked?: string | undefined; projectId: string; bound: string | undefined; configured: string; like?: string | undefined; fromImage?: string | undefined }): Promise<TypeRow> {
  if (o.asked !== undefined) {
    const type = await typeByRef(trx, o.asked, o.bound);
    if (!type) throw typeNotFoundByName(o.asked);
    return type;
  }
  if (o.like !== undefined) {
    const type = await typeById(trx, o.like);
    if (type) return type;
  }
  if (o.fromImage !== undefined) {
    const type = await typeByRef(trx, o.fromImage, o.bound);
    if (!type) throw typeNotFoundByName(o.fromImage);
    return type;
  }
  const type = await defaultType(trx, o.projectId, o.configured);
  if (!type) throw invalidInput(`The default volume type ${o.configured} could not be found.`);
  return type;
}
