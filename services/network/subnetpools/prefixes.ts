import { BadRequest } from '@cumulet/wire';
import { bitsOf, compact, formatPrefix, parsePrefix, within, type Prefix, type Version } from '../subnets/addresses.ts';

export interface Bounds { readonly min_prefixlen: number; readonly max_prefixlen: number; readonly default_prefixlen: number }
/** neutron's own: smallest prefix length of subnets when none is asked for, and what a quota counts in. */
const smallest: Readonly<Record<Version, number>> = { 4: 8, 6: 64 };
export const quotaUnit: Readonly<Record<Version, number>> = { 4: 32, 6: 64 };

/** The prefixes of a pool, joined, all of one family. */
export function checkedPrefixes(given: readonly string[]): { version: Version; prefixes: Prefix[] } {
  const prefixes = given.map(text => {
    const prefix = parsePrefix(text);
    if (!prefix || !text.includes('/')) throw new BadRequest(`Invalid input for prefixes. Reason: '${text}' is not a valid IP subnet.`);
    return prefix;
  });
  const [first] = prefixes;
  if (!first) throw new BadRequest('Empty subnet pool prefix list.', { kind: 'EmptySubnetPoolPrefixList' });
  if (prefixes.some(p => p.version !== first.version)) throw new BadRequest('Cannot mix IPv4 and IPv6 prefixes in a subnet pool.', { kind: 'PrefixVersionMismatch' });
  return { version: first.version, prefixes: compact(prefixes) };
}

/** Lengths of the subnets that a pool gives. */
export function checkedBounds(version: Version, given: Partial<Record<keyof Bounds, number | undefined>>): Bounds {
  const min = given.min_prefixlen ?? smallest[version];
  const bounds = { min_prefixlen: min, max_prefixlen: given.max_prefixlen ?? bitsOf(version), default_prefixlen: given.default_prefixlen ?? min };
  const illegal = (what: string, length: number, than: string, limit: number) => new BadRequest(`Illegal prefix bounds: ${what}=${length}, ${than}=${limit}.`, { kind: 'IllegalSubnetPoolPrefixBounds' });
  const { max_prefixlen: max, default_prefixlen: usual } = bounds;
  if (min > max) throw illegal('min_prefixlen', min, 'max_prefixlen', max);
  if (max > bitsOf(version)) throw illegal('max_prefixlen', max, 'ip_version_max', bitsOf(version));
  if (usual < min) throw illegal('default_prefixlen', usual, 'min_prefixlen', min);
  if (usual > max) throw illegal('default_prefixlen', usual, 'max_prefixlen', max);
  return bounds;
}

/** A pool only grows this way: subnets may have been made of what it has. */
export function grown(now: readonly Prefix[], wanted: readonly Prefix[]): Prefix[] {
  const joined = compact(wanted);
  if (!now.every(p => joined.some(j => within(j, p)))) throw new BadRequest('Illegal update to prefixes: Existing prefixes must be a subset of the new prefixes.', { kind: 'IllegalSubnetPoolPrefixUpdate' });
  return joined;
}

/** The smallest prefix of what is left that a subnet fits in, cut to its length. */
export function cut(free: readonly Prefix[], length: number): Prefix | undefined {
  const from = free.filter(p => p.length <= length).toSorted((a, b) => b.length - a.length || (a.first < b.first ? -1 : 1))[0];
  return from && { ...from, length };
}
export const texts = (prefixes: readonly Prefix[]): string[] => prefixes.map(formatPrefix);
