import { free, type Candidate, type SchedulerSettings, type Wish } from './candidate.ts';

const members = (h: Candidate, w: Wish) => w.group?.hosts.filter(x => x === h.host).length ?? 0;

/** Upstream's weighers; each is spread over 0 to 1 before it counts as much as the settings say. */
const weighers: Readonly<Record<keyof SchedulerSettings['weights'], (h: Candidate, w: Wish) => number>> = {
  ram: h => free(h).memory_mb,
  cpu: h => free(h).vcpus,
  disk: h => free(h).disk_gb,
  ioOps: h => h.busy,
  numInstances: h => h.servers,
  softAffinity: (h, w) => (w.group?.policy === 'soft-affinity' ? members(h, w) : 0),
  softAntiAffinity: (h, w) => (w.group?.policy === 'soft-anti-affinity' ? -members(h, w) : 0),
  buildFailure: h => -h.build_failures,
  hypervisorVersion: h => h.facts.version ?? 0,
};

/** Best first. Hosts that are equally good take turns by chance, and so do the best `hostSubsetSize`. */
export function ranked(hosts: readonly Candidate[], w: Wish, s: SchedulerSettings): Candidate[] {
  const sums = hosts.map(() => 0);
  for (const [name, of] of Object.entries(weighers) as [keyof typeof weighers, (typeof weighers)['ram']][]) {
    const multiplier = s.weights[name];
    if (multiplier === 0) continue;
    const all = hosts.map(h => of(h, w));
    const [low, high] = [all.reduce((a, b) => Math.min(a, b), Infinity), all.reduce((a, b) => Math.max(a, b), -Infinity)];
    if (high === low) continue;
    for (const [i, value] of all.entries()) sums[i] = (sums[i] as number) + multiplier * ((value - low) / (high - low));
  }
  const order = hosts.map((h, i) => ({ h, at: sums[i] as number, chance: Math.random() })).toSorted((a, b) => b.at - a.at || a.chance - b.chance).map(x => x.h);
  const subset = order.splice(0, Math.min(s.hostSubsetSize, order.length));
  const first = subset.splice(Math.floor(Math.random() * subset.length), 1);
  return [...first, ...subset, ...order];
}
