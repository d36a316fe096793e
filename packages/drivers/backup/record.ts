/**
 * Exported records: JSON in base64, with the members of upstream's Backup object and `driver_info`. What upstream does not know belongs in
 * `driver_info`, which it takes out on import and gives to its driver, which ignores it; a member that is no field of its object would not survive.
 */

/** Longer records are refused before they are unpacked: 256 KiB hold any that upstream or we write, with their metadata and chain. */
const LONGEST = 256 << 10;
/** Nested deeper than any record is. */
const DEEPEST = 16;
/** Would become a prototype in careless hands. */
const POISON = new Set(['__proto__', 'constructor', 'prototype']);

/** Whether a text is base64 at all, as upstream's schema of the request asks; lines as of old Pythons are fine. */
export const isBase64 = (text: string): boolean => {
  const bare = text.replaceAll(/\s/g, '');
  return bare.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(bare);
};

export const encodeRecord = (record: Readonly<Record<string, unknown>>): string => Buffer.from(JSON.stringify(record)).toString('base64');

/** Undefined when it is no record: not base64, not JSON, not an object, too long, too deep. Members that could poison a prototype are left out. */
export function decodeRecord(text: string): Record<string, unknown> | undefined {
  if (text.length > LONGEST || text === '' || !isBase64(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // Whatever is wrong with it, it is no record.
    return undefined;
  }
  return isObject(value) && depthOf(value) <= DEEPEST ? cleaned(value) : undefined;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Without recursion: a record may be nested as deep as its length allows. */
function depthOf(value: unknown): number {
  let level: unknown[] = [value];
  for (let depth = 0; ; depth += 1) {
    level = level.flatMap((one) => (typeof one === 'object' && one !== null ? Object.values(one) : []));
    if (level.length === 0 || depth > DEEPEST) return depth;
  }
}

function cleaned(value: Record<string, unknown>): Record<string, unknown>;
function cleaned(value: unknown): unknown;
function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => cleaned(one));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key]) => !POISON.has(key)).map(([key, one]) => [key, cleaned(one)]));
}
