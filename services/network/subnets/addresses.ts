import ipaddr from 'ipaddr.js';

/** Addresses and prefixes of both families as numbers, for what a database's operators cannot say: what is left of a pool, EUI-64. */
export type Version = 4 | 6;
export const bitsOf = (version: Version): number => (version === 4 ? 32 : 128);
export interface Ip { readonly version: Version; readonly value: bigint }
/** `first` has no bits behind `length`. */
export interface Prefix { readonly version: Version; readonly first: bigint; readonly length: number }

/** One address without prefix or zone, or undefined; octal and shortened IPv4 are none. */
export function parseIp(text: string): Ip | undefined {
  const six = text.includes(':');
  if (text.includes('%') || !(six ? ipaddr.IPv6.isValid(text) : ipaddr.IPv4.isValidFourPartDecimal(text))) return undefined;
  return { version: six ? 6 : 4, value: ipaddr.parse(text).toByteArray().reduce((n, byte) => (n << 8n) | BigInt(byte), 0n) };
}
/** As Postgres and neutron write it: IPv6 in its shortest form. */
export function formatIp({ version, value }: Ip): string {
  const bytes = Array.from({ length: bitsOf(version) / 8 }, (_, i) => Number((value >> BigInt(bitsOf(version) - 8 * (i + 1))) & 0xffn));
  return ipaddr.fromByteArray(bytes).toString();
}

/** `address/length` (or an address alone, which is the whole length); bits behind the length are dropped. */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', length, ...rest] = text.split('/');
  const ip = parseIp(address);
  if (!ip || rest.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) return undefined;
  const bits = bitsOf(ip.version);
  const given = length === undefined ? bits : Number(length);
  return given > bits ? undefined : { version: ip.version, first: ip.value >> BigInt(bits - given) << BigInt(bits - given), length: given };
}
export const formatPrefix = (p: Prefix): string => `${formatIp({ version: p.version, value: p.first })}/${p.length}`;
export const lastOf = (p: Prefix): bigint => p.first + (1n << BigInt(bitsOf(p.version) - p.length)) - 1n;
export const overlap = (a: Prefix, b: Prefix): boolean => a.version === b.version && a.first <= lastOf(b) && b.first <= lastOf(a);
export const within = (outer: Prefix, inner: Prefix): boolean => outer.version === inner.version && outer.first <= inner.first && lastOf(inner) <= lastOf(outer);
export const holds = (p: Prefix, ip: Ip): boolean => p.version === ip.version && p.first <= ip.value && ip.value <= lastOf(p);

/** The same addresses in the fewest prefixes, in order. */
export function compact(prefixes: readonly Prefix[]): Prefix[] {
  const ranges: { version: Version; from: bigint; to: bigint }[] = [];
  for (const p of prefixes.toSorted((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0))) {
    const before = ranges.at(-1);
    if (before && before.version === p.version && p.first <= before.to + 1n) before.to = before.to > lastOf(p) ? before.to : lastOf(p);
    else ranges.push({ version: p.version, from: p.first, to: lastOf(p) });
  }
  return ranges.flatMap(r => prefixesOf(r.version, r.from, r.to));
}

/** What is left of `prefixes` without `taken`, in the fewest prefixes. */
export function without(prefixes: readonly Prefix[], taken: readonly Prefix[]): Prefix[] {
  const gone = taken.toSorted((a, b) => (a.first < b.first ? -1 : 1));
  return prefixes.flatMap(p => {
    const left: Prefix[] = [];
    let from = p.first;
    for (const t of gone) {
      if (!overlap(p, t)) continue;
      if (t.first > from) left.push(...prefixesOf(p.version, from, t.first - 1n));
      if (lastOf(t) >= from) from = lastOf(t) + 1n;
    }
    return from <= lastOf(p) ? [...left, ...prefixesOf(p.version, from, lastOf(p))] : left;
  });
}

function prefixesOf(version: Version, from: bigint, to: bigint): Prefix[] {
  const bits = bitsOf(version);
  const found: Prefix[] = [];
  for (let at = from; at <= to;) {
    let length = bits;
    // The largest prefix that begins here and does not reach beyond the end.
    while (length > 0 && at % (1n << BigInt(bits - length + 1)) === 0n && at + (1n << BigInt(bits - length + 1)) - 1n <= to) length--;
    found.push({ version, first: at, length });
    at += 1n << BigInt(bits - length);
  }
  return found;
}

/** The MAC that a station made a link-local address of (RFC 4291, appendix A); undefined for any other address. */
export function macOfLinkLocal(ip: Ip): string | undefined {
  const bytes = Array.from({ length: 8 }, (_, i) => Number((ip.value >> BigInt(56 - 8 * i)) & 0xffn));
  const [a = 0, b, c, ff, fe, d, e, f] = bytes;
  if (ip.version !== 6 || ip.value >> 64n !== 0xfe80_0000_0000_0000n || ff !== 0xff || fe !== 0xfe) return undefined;
  return [a ^ 2, b, c, d, e, f].map(byte => Number(byte).toString(16).padStart(2, '0')).join(':');
}

/** The address that a station makes of a /64 and its MAC (RFC 4291, appendix A). */
export function eui64(prefix: Prefix, mac: string): string {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map(part => Number.parseInt(part, 16));
  const id = [a ^ 2, b, c, 0xff, 0xfe, d, e, f].reduce((n, byte) => (n << 8n) | BigInt(byte), 0n);
  return formatIp({ version: 6, value: (prefix.first >> 64n << 64n) | id });
}
