import { shape } from '@cumulet/wire';
import { z } from 'zod';

/** Pieces that keystone's request schemas share. */
export const name = z.string().min(1).max(255).regex(/[\S]+/);
export const description = z.string().nullable();
export const id = z.string().min(1).max(64).regex(/^[a-zA-Z0-9-]+$/);
/** keystone takes these spellings of a truth value in bodies. */
export const truth = z.preprocess(v => (typeof v === 'string' ? ({ true: true, false: false, '1': true, '0': false, on: true, off: false, yes: true, no: false })[v.toLowerCase()] ?? v : v), z.boolean());
export const tag = z.string().min(1).max(255).regex(/^[^,/]*$/);
export const tags = z.array(tag).max(80).refine(list => new Set(list).size === list.length, { error: 'has non-unique elements' });
export const immutable = z.strictObject({ immutable: truth.nullable().optional() });
/** An object that may hold more than is named here; what is more is kept. */
export const open = <S extends z.core.$ZodLooseShape>(members: S) => z.looseObject(members).refine(o => !Object.keys(o).some(k => k.length > 255), { error: 'a member name is too long' });
/** At least one member, as updates need. */
export const changes = <S extends z.core.$ZodLooseShape>(members: S) => open(members).refine(o => Object.keys(o).length > 0, { error: '{} does not have enough properties' });

/** A query whose members are filters, read one by one by the lists. */
export const Filters = shape('Filters', z.record(z.string(), z.any()));

/** Splits a body into the columns that a table has and the rest, which keystone keeps and shows as they are. */
export function split<K extends string>(body: Readonly<Record<string, unknown>>, known: readonly K[]): { known: Partial<Record<K, unknown>>; extra: Record<string, unknown> } {
  const taken: Partial<Record<K, unknown>> = {};
  const extra: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(body)) {
    if ((known as readonly string[]).includes(key)) taken[key as K] = value;
    else if (key !== 'id' && key !== 'links') extra[key.replaceAll(':', '_').replaceAll('-', '_')] = value;
  }
  return { known: taken, extra };
}
/** Options given as null are taken off. */
export function mergeOptions(current: Readonly<Record<string, unknown>>, given: unknown): Record<string, unknown> {
  const merged: Record<string, unknown> = { ...current };
  for (const [key, value] of Object.entries((given ?? {}) as Record<string, unknown>)) if (value === null) delete merged[key]; else merged[key] = value;
  return merged;
}
