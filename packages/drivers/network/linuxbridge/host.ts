import { ProgramFailed, ProgramMissing, type Runner, type RunOptions } from '@cumulet/exec';
import ipaddr from 'ipaddr.js';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';

export interface Link {
  readonly ifindex: number;
  readonly ifname: string;
  readonly address?: string;
  readonly mtu: number;
  readonly master?: string;
  readonly ifalias?: string;
  readonly operstate: string;
  readonly flags: readonly string[];
}

/** `ip` and `nft` on the host or in a namespace. Every change goes as one batch, so a whole network costs a few processes. */
export class Host {
  readonly #runner: Runner;
  constructor(runner: Runner) {
    this.#runner = runner;
  }

  async run(call: Call, program: string, args: readonly string[], options: Omit<RunOptions, 'signal'> = {}): Promise<string> {
    try {
      return (await this.#runner.run(program, args, { timeoutMs: 30_000, ...options, signal: call.signal })).stdout;
    } catch (error) {
      if (call.signal.aborted) throw call.signal.reason;
      if (error instanceof ProgramMissing) throw new DriverError('unsupported', `${program} is not installed on the host.`, { cause: error });
      if (error instanceof ProgramFailed) throw new DriverError('broken', `The host's network could not be changed.`, { detail: `${program} ${args.join(' ')}: ${error.stderr.trim().slice(-2000)}`, cause: error });
      throw error;
    }
  }

  /** Start a program that ends by itself a little later and whose outcome matters to nobody. */
  async leave(call: Call, program: string, args: readonly string[]): Promise<void> {
    try {
      await this.#runner.spawn(program, args, { onLine: line => call.log.debug({ program, line }, 'A program that was left said') });
    } catch (error) {
      if (!(error instanceof ProgramMissing)) throw error;
      call.log.debug({ program }, 'A program that would be good to have is not installed');
    }
  }

  /** Run lines of `ip` commands in order, all or up to the first that fails. */
  async ip(call: Call, lines: readonly string[], space?: string): Promise<void> {
    if (lines.length === 0) return;
    await this.run(call, 'ip', [...inSpace(space), '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  /** Ask `ip -json`. */
  async ask<T>(call: Call, args: readonly string[], space?: string): Promise<T[]> {
    const text = await this.run(call, 'ip', [...inSpace(space), '-json', ...args]);
    return text.trim() === '' ? [] : JSON.parse(text) as T[];
  }

  async links(call: Call, space?: string): Promise<Map<string, Link>> {
    const links = await this.ask<Link>(call, ['link', 'show'], space);
    return new Map(links.map(l => [l.ifname, l]));
  }

  /** Run a rule script: it takes effect as a whole or not at all. */
  async nft(call: Call, script: string, space?: string): Promise<void> {
    const [program, args] = space === undefined ? ['nft', ['-f', '-']] as const : ['ip', ['netns', 'exec', space, 'nft', '-f', '-']] as const;
    await this.run(call, program, args, { input: script });
  }

  /** Set kernel settings of one namespace, `['net.ipv4.ip_forward=1']`. */
  async sysctl(call: Call, settings: readonly string[], space?: string): Promise<void> {
    const [program, args] = space === undefined ? ['sysctl', []] as const : ['ip', ['netns', 'exec', space, 'sysctl']] as const;
    await this.run(call, program, [...args, '-qw', ...settings]);
  }

  async spaces(call: Call): Promise<Set<string>> {
    const names = await this.ask<{ name: string }>(call, ['netns', 'list']);
    return new Set(names.map(n => n.name));
  }

  /** Make the namespace if it is missing, or if only its name has survived a reboot; returns the links in it. */
  async ensureSpace(call: Call, space: string): Promise<Map<string, Link>> {
    if ((await this.spaces(call)).has(space)) {
      const found = await this.links(call, space).catch((error: unknown) => {
        if (error instanceof DriverError && error.kind === 'broken') return undefined;
        throw error;
      });
      if (found) return found;
      await this.ip(call, [`netns del ${space}`]);
    }
    await this.ip(call, [`netns add ${space}`]);
    await this.ip(call, ['link set lo up'], space);
    return this.links(call, space);
  }

  async removeSpace(call: Call, space: string): Promise<void> {
    if ((await this.spaces(call)).has(space)) await this.ip(call, [`netns del ${space}`]);
  }

  /** Remove these devices; the ones that are gone already are no failure, even when they go between look and removal. */
  async removeLinks(call: Call, names: readonly string[]): Promise<void> {
    const links = await this.links(call);
    const present = names.filter(n => links.has(n));
    if (present.length > 0) await this.run(call, 'ip', ['-force', '-batch', '-'], { input: present.map(n => `link del ${n}\n`).join(''), okExitCodes: [1] });
    const left = present.length > 0 ? await this.links(call) : new Map<string, Link>();
    const stuck = present.filter(n => left.has(n));
    if (stuck.length > 0) throw new DriverError('busy', 'A network device could not be removed.', { detail: stuck.join(' ') });
  }
}

const inSpace = (space: string | undefined) => space === undefined ? [] : ['-n', space];

export interface Address {
  readonly local: string;
  readonly prefixlen: number;
  readonly family: string;
  readonly scope: string;
}

/** The addresses of one device that somebody gave it (not link-local IPv6 ones), as `ip/prefix`; IPv4 first. */
export async function addressesOf(host: Host, call: Call, device: string, space?: string): Promise<string[]> {
  const found = await host.ask<{ addr_info?: Address[] }>(call, ['addr', 'show', 'dev', device], space);
  return found.flatMap(l => l.addr_info ?? []).filter(a => a.family === 'inet' || a.scope === 'global').map(a => `${a.local}/${a.prefixlen}`);
}

/** The lines that turn a device's addresses from `now` into `wanted`. New ones come first, so that a device never loses all. */
export function addressLines(device: string, now: readonly string[], wanted: readonly string[]): string[] {
  const [have, want] = [new Set(now), new Set(wanted.map(shortest))];
  return [
    ...[...want].filter(a => !have.has(a)).map(a => `addr add ${a} dev ${device}${a.includes(':') ? ' nodad' : ''}`),
    ...[...have].filter(a => !want.has(a)).map(a => `addr del ${a} dev ${device}`),
  ];
}

/** As `ip` writes it: IPv6 in its shortest form. */
export function shortest(address: string): string {
  const [ip = '', length] = address.split('/');
  return ip.includes(':') ? [ipaddr.IPv6.parse(ip).toString(), ...(length === undefined ? [] : [length])].join('/') : address;
}

/**
 * Kernel settings of a namespace that speaks IPv6, or not: no advertisement of others is heeded, and an address is good at once (whose it is
 * says the database; a wait for others who claim it would keep DHCP and routers silent for seconds).
 */
export function quietIpv6(on: boolean, ...devices: readonly string[]): string[] {
  if (!on) return ['net.ipv6.conf.all.disable_ipv6=1'];
  return ['net.ipv6.conf.all.accept_ra=0', 'net.ipv6.conf.all.accept_dad=0', ...['default', ...devices].flatMap(d => [`net.ipv6.conf.${d}.accept_ra=0`, `net.ipv6.conf.${d}.accept_dad=0`]), 'net.ipv6.conf.all.disable_ipv6=0'];
}
