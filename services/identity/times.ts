import { parseTime } from '@cumulet/wire';
import { badTimestamp, expiredAlready } from './faults.ts';

/** SQL that gives a time to the microsecond; a JavaScript Date would cut it to the millisecond, and clients compare. */
export const exactly = (column: string, as: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as ${as}`;

/** A time in the future as Postgres is to have it, in full; null when none is given. */
export function futureTime(text: string | null | undefined, now: number): string | null {
  if (text == null) return null;
  const at = parseTime(text);
  if (!at) throw badTimestamp();
  if (at.getTime() <= now) throw expiredAlready();
  // The zone is settled by the parser; digits beyond the millisecond are the caller's.
  const beyond = /\.\d{3}(\d{1,3})/.exec(text)?.[1] ?? '';
  return `${at.toISOString().slice(0, 23)}${beyond}Z`;
}
