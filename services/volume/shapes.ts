import { z } from 'zod';
import { isUuidLike, parseBool, python } from '@cumulet/wire';

/** Pieces of request bodies, as upstream's parameter_types has them. */
const trimmedOr = (max: number) => z.string().max(max);
export const name255 = trimmedOr(255);
export const nullableName = name255.nullish();
export const description = trimmedOr(255).nullish();
export const uuidText = z.string().refine(isUuidLike, { params: { format: 'uuid' } });
export const optionalUuid = uuidText.nullish();
/** Keys 1 to 255 characters, values at most 255: upstream's metadata. */
export const metadata = z.record(z.string().min(1).max(255).regex(/^[a-zA-Z0-9-_:. ]{1,255}$/), z.string().max(255));
export const nullableMetadata = metadata.nullish();
/** What upstream's `boolean` takes: JSON booleans and their usual spellings. */
export const bool = z.union([z.boolean(), z.string()]).refine(v => parseBool(v) !== undefined, { error: 'boolean' }).transform(v => parseBool(v) as boolean);
/** GiB, 1 or more, also as digits in a string. */
export const sizeGiB = z.unknown().transform((value, ctx): number => {
  const fail = (message: string) => { ctx.addIssue({ code: 'custom', message }); return z.NEVER; };
  if (typeof value === 'string' && !/^[0-9]+$/.test(value)) return fail(`${python(value)} does not match '^[0-9]+$'`);
  if (typeof value !== 'string' && !(typeof value === 'number' && Number.isInteger(value))) return fail(`${python(value)} is not of type 'integer', 'string'`);
  const size = Number(value);
  if (size < 1) return fail(`${python(value)} is less than the minimum of 1`);
  if (size > 2_147_483_647) return fail(`${python(value)} is greater than the maximum of 2147483647`);
  return size;
});
export const zoneName = z.string().min(1).max(255).nullish();

/** bool_from_string with strict=True, for query parameters. */
export function strictBool(text: unknown, fail: (message: string) => Error): boolean {
  const value = parseBool(text);
  if (value === undefined) throw fail(`Unrecognized value '${String(text)}', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', 'true', 'y', 'yes'`);
  return value;
}

/** `{'a': 'b'}`: a dictionary in a query, as Python's or JSON's literal; undefined when it is none. */
export function dictionary(text: unknown): Record<string, string> | undefined {
  if (typeof text !== 'string') return undefined;
  const asJson = text.replaceAll(/u?'((?:[^'\\]|\\.)*)'/g, (_, inner: string) => JSON.stringify(inner.replaceAll("\\'", "'"))).replaceAll(/\bNone\b/g, 'null').replaceAll(/\bTrue\b/g, 'true').replaceAll(/\bFalse\b/g, 'false');
  for (const candidate of [text, asJson]) {
    let parsed: unknown;
    try { parsed = JSON.parse(candidate); } catch { continue; }   // not this spelling; the next is tried
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) return Object.fromEntries(Object.entries(parsed).map(([k, v]) => [k, typeof v === 'string' ? v : python(v)]));
  }
  return undefined;
}
