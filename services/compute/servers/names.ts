import { randomBytes } from 'node:crypto';

/** A host name from a server's name, by nova's rule: what DNS cannot hold goes, `Server-UUID` when nothing is left, 63 characters at most. */
export function hostnameOf(name: string, fallback: string): string {
  const clean = (text: string) => text.normalize('NFKD').replaceAll(/[ _.]/g, '-').replaceAll(/[^\w-]/g, '').toLowerCase().replaceAll('_', '-').replaceAll(/^[-]+|[-]+$/g, '');
  const made = clean(name).slice(0, 63).replace(/-+$/, '');
  return made === '' ? clean(fallback).slice(0, 63) : made;
}
const letters = 'abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789';
const pick = (n: number, from: string) => [...randomBytes(n * 2)].filter(b => b < Math.floor(256 / from.length) * from.length).slice(0, n).map(b => from[b % from.length]).join('').padEnd(n, from[0]);
/** Twelve characters that nobody mixes up. */
export const newPassword = (): string => pick(12, letters);
export const newReservation = (): string => `r-${pick(8, 'abcdefghijklmnopqrstuvwxyz0123456789')}`;
