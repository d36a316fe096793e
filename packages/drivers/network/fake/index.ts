import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { GroupMembers, HostNetworking, NetworkDriver, NetworkSpec, PortSecurity, RouterSpec } from '../contract.ts';
import { namesOf } from '../linuxbridge/names.ts';
import { checkGroups, checkId, checkNetwork, checkPort, checkRouter, hasDhcp } from '../specs.ts';

export type NetworkVerb = Exclude<keyof NetworkDriver, 'name'>;

/** A host that exists in memory. Tests look at it, and tell it to fail, hang or be slow. */
export interface FakeNetwork extends NetworkDriver {
  readonly networks: ReadonlyMap<string, NetworkSpec>;
  readonly routers: ReadonlyMap<string, RouterSpec>;
  readonly ports: ReadonlyMap<string, PortSecurity>;
  readonly groups: ReadonlyMap<string, readonly string[]>;
  /** Whether DHCP and metadata run. */
  readonly serving: boolean;
  /** How often a verb was called. */
  count(verb: NetworkVerb): number;
  /** The n-th call of a verb from now (1 = the next) fails, before or after it has done its work. */
  failAt(verb: NetworkVerb, nth: number, error?: DriverError, when?: 'before' | 'after'): void;
  /** The n-th call of a verb from now hangs until its signal is aborted. */
  hangAt(verb: NetworkVerb, nth: number): void;
  /** Milliseconds that each call takes. */
  delayMs: number;
  /** As a guest's start and stop would do it: the tap appears or vanishes. */
  setPlugged(portId: string, plugged: boolean): void;
}

interface Trouble {
  readonly verb: NetworkVerb;
  left: number;
  readonly kind: 'before' | 'after' | 'hang';
  readonly error: DriverError;
}

export function fakeNetwork({ prefix = 'cum', delayMs = 0 }: { prefix?: string; delayMs?: number } = {}): FakeNetwork {
  const names = namesOf(prefix);
  const networks = new Map<string, NetworkSpec>();
  const routers = new Map<string, RouterSpec>();
  const ports = new Map<string, PortSecurity>();
  const groups = new Map<string, readonly string[]>();
  const taps = new Set<string>();
  const counts = new Map<NetworkVerb, number>();
  const troubles: Trouble[] = [];
  let serving = false;

  async function act<T>(verb: NetworkVerb, call: Call, work: () => T): Promise<T> {
    call.signal.throwIfAborted();
    counts.set(verb, (counts.get(verb) ?? 0) + 1);
    for (const t of troubles) if (t.verb === verb) t.left--;
    const due = troubles.findIndex(t => t.verb === verb && t.left === 0);
    const trouble = due < 0 ? undefined : troubles.splice(due, 1)[0];
    if (fake.delayMs > 0) await sleep(fake.delayMs, undefined, { signal: call.signal }).catch(() => { throw call.signal.reason; });
    if (trouble?.kind === 'hang') await new Promise((_resolve, reject) => call.signal.addEventListener('abort', () => reject(call.signal.reason), { once: true }));
    if (trouble?.kind === 'before') throw trouble.error;
    const result = work();
    if (trouble?.kind === 'after') throw trouble.error;
    return result;
  }

  const usersOf = (networkId: string) => [
    ...[...taps].filter(id => ports.get(id)?.networkId === networkId),
    ...[...routers.values()].filter(r => r.gateway?.networkId === networkId || r.interfaces.some(i => i.networkId === networkId)).map(r => r.id),
  ];
  const remember = (list: readonly PortSecurity[], members: readonly GroupMembers[]) => {
    list.forEach(checkPort);
    checkGroups(members);
    for (const g of members) groups.set(g.id, [...g.members]);
    for (const p of list) {
      ports.set(p.portId, p);
      for (const r of p.rules) if (r.remote && 'groupId' in r.remote && !groups.has(r.remote.groupId)) groups.set(r.remote.groupId, []);
    }
  };

  const fake: FakeNetwork = {
    name: 'fake',
    networks, routers, ports, groups, delayMs,
    get serving() { return serving; },
    count: verb => counts.get(verb) ?? 0,
    failAt(verb, nth, error = new DriverError('broken', 'The fake network was told to fail.'), when = 'before') {
      troubles.push({ verb, left: nth, kind: when, error });
    },
    hangAt(verb, nth) {
      troubles.push({ verb, left: nth, kind: 'hang', error: new DriverError('broken', 'hangs') });
    },
    setPlugged(portId, plugged) {
      if (plugged) taps.add(portId);
      else taps.delete(portId);
    },

    check: call => act('check', call, () => undefined),
    applyNetwork: (call, spec) => act('applyNetwork', call, () => {
      checkNetwork(spec);
      networks.set(spec.id, structuredClone(spec));
      serving = true;
      return { bridge: names.bridge(spec.id) };
    }),
    removeNetwork: (call, id) => act('removeNetwork', call, () => {
      checkId(id);
      const users = usersOf(id);
      if (users.length > 0) throw new DriverError('busy', 'The network is still in use on the host.', { detail: users.join(' ') });
      networks.delete(id);
    }),
    applyRouter: (call, spec) => act('applyRouter', call, () => {
      checkRouter(spec);
      for (const id of [spec.gateway?.networkId, ...spec.interfaces.map(i => i.networkId)]) {
        if (id !== undefined && !networks.has(id)) throw new DriverError('absent', 'A network of the router is not on this host.', { detail: id });
      }
      routers.set(spec.id, structuredClone(spec));
    }),
    removeRouter: (call, id) => act('removeRouter', call, () => {
      routers.delete(checkId(id));
    }),
    plugPort: (call, port, members) => act('plugPort', call, () => {
      const network = networks.get(checkId(port.networkId));
      if (!network) throw new DriverError('absent', "The port's network is not on this host.", { detail: port.networkId });
      remember([port], members);
      return { bridge: names.bridge(network.id), tapName: names.tap(port.portId), mtu: network.mtu };
    }),
    unplugPort: (call, id) => act('unplugPort', call, () => {
      ports.delete(checkId(id));
      taps.delete(id);
    }),
    applySecurity: (call, list, members) => act('applySecurity', call, () => remember(list, members)),
    removeGroups: (call, ids) => act('removeGroups', call, () => {
      for (const id of ids) {
        const named = [...ports.values()].some(p => p.rules.some(r => r.remote && 'groupId' in r.remote && r.remote.groupId === id));
        if (named) groups.set(id, []);
        else groups.delete(id);
      }
    }),
    list: call => act('list', call, (): HostNetworking => ({
      networks: [...networks.values()].map(s => ({ id: s.id, bridge: names.bridge(s.id), dhcp: serving && s.subnets.some(hasDhcp), metadata: serving && s.metadata !== null })),
      routers: [...routers.keys()].map(id => ({ id })),
      ports: [...ports.keys()].map(id => ({ id, tapName: names.tap(id), plugged: taps.has(id) })),
      groups: [...groups.keys()],
      strays: [],
    })),
    hostAddressOf: (call, id) => act('hostAddressOf', call, () => {
      const network = networks.get(checkId(id));
      return network?.external ? network.subnets.find(s => s.gatewayIp !== null)?.gatewayIp ?? null : null;
    }),
    stopAll: (call, { keepWires }) => act('stopAll', call, () => {
      serving = false;
      if (keepWires) return;
      for (const m of [networks, routers, ports, groups]) m.clear();
      taps.clear();
    }),
  };
  return fake;
}
