import type { Trx } from '@cumulet/db';
import { BadRequest } from '@cumulet/wire';
import type { Wish } from '../providers/filters.ts';
import { unknownClass, unknownTraits } from './store.ts';

/**
 * A query may only name classes and traits that there are.
 * @throws 400; of traits, what is said begins with `saying`
 */
export async function knownNames(db: Trx, wishes: readonly Wish[], saying = 'Invalid trait(s) in "required" parameter: '): Promise<void> {
  const missing = await unknownClass(db, wishes.flatMap(w => Object.keys(w.resources)));
  if (missing !== undefined) throw new BadRequest(`Invalid resource class in resources parameter: No such resource class ${missing}.`);
  const traits = await unknownTraits(db, wishes.flatMap(w => [...w.required.flat(), ...w.forbidden]));
  if (traits.length > 0) throw new BadRequest(`${saying}No such trait(s): ${[...new Set(traits)].join(', ')}.`);
}
