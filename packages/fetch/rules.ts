import ipaddr from 'ipaddr.js';

/** What may be fetched for a user: nothing of the operator's own networks, whatever a URL, a name or a redirect says. */
export interface FetchRules {
  readonly schemes: readonly string[];
  readonly ports: readonly number[];
  /** Names that are refused, beside every address that is not public. */
  readonly disallowedHosts: readonly string[];
  /** CIDRs that are allowed although they are not public. */
  readonly allowedNetworks: readonly string[];
}

/** True of a public unicast address, also when it is written as IPv4 within IPv6, and of one in an allowed network. */
export function allowedAddress(address: string, rules: Pick<FetchRules, 'allowedNetworks'>): boolean {
  if (!ipaddr.isValid(address)) return false;
  const at = ipaddr.process(address);
  // Every form that carries another address inside (NAT64, 6to4, Teredo) has a range of its own and so is none of these.
  if (at.range() === 'unicast') return true;
  return rules.allowedNetworks.some(cidr => {
    const [network, bits] = ipaddr.parseCIDR(cidr);
    return network.kind() === at.kind() && at.match(network as never, bits);
  });
}

/** The URL as it will be fetched, or undefined when it may not be. Numbers in odd forms (2130706433, 0x7f.1, 0177.1) are addresses to the parser, so they are judged as such. */
export function passesFilter(text: string | URL, rules: FetchRules): URL | undefined {
  const url = URL.canParse(String(text)) ? new URL(String(text)) : undefined;
  if (!url || url.hostname === '' || url.username !== '' || url.password !== '') return undefined;
  const scheme = url.protocol.slice(0, -1);
  if (!rules.schemes.includes(scheme)) return undefined;
  const port = url.port === '' ? (scheme === 'https' ? 443 : 80) : Number(url.port);
  if (!rules.ports.includes(port)) return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '').toLowerCase();
  if (rules.disallowedHosts.some(h => h.toLowerCase() === host)) return undefined;
  if (ipaddr.isValid(host)) return allowedAddress(host, rules) ? url : undefined;
  if (host === 'localhost' || host.endsWith('.localhost')) return allowedAddress('127.0.0.1', rules) ? url : undefined;
  return url;
}
