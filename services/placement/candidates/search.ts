import { hasTraits, isMember, treeOf, type Wish } from '../providers/filters.ts';
import { capacityOf, hasRoom, type Amounts, type Provider } from '../providers/store.ts';

export interface Asked {
  /** By suffix: '' may take each class from another provider of a tree, any other takes all from one. */
  readonly groups: readonly { readonly suffix: string; readonly wish: Wish }[];
  /** Whether groups with a suffix have to be met by different providers. */
  readonly isolated: boolean;
  /** Of the root that a candidate hangs on. */
  readonly root: Pick<Wish, 'required' | 'forbidden'>;
  /** Groups whose providers are all below one of themselves. */
  readonly subtrees: readonly (readonly string[])[];
  /** False: no more than one provider of any tree. */
  readonly nested: boolean;
  readonly limit: number | undefined;
}
export interface Candidate { readonly takes: ReadonlyMap<string, Amounts>; readonly mappings: Readonly<Record<string, readonly string[]>> }
/** How one group may be met below one root. */
interface Part { readonly suffix: string; readonly takes: readonly { readonly of: Provider; readonly name: string; readonly amount: number }[]; readonly by: readonly Provider[] }

/** So many combinations are looked at, at most: wide trees have more of them than anybody can use. */
const ENOUGH = 100_000;

/**
 * Every way to meet all groups of a request at once. A way hangs on one tree: it takes from the tree's providers, and from those outside that share what they have
 * (MISC_SHARES_VIA_AGGREGATE) with somebody in the tree by an aggregate.
 */
export function search(all: readonly Provider[], asked: Asked): { candidates: Candidate[]; concerned: Provider[] } {
  const byId = new Map(all.map(p => [p.uuid, p]));
  const trees = Map.groupBy(all, p => p.root);
  const sharing = sharers(all);
  const found = new Map<string, Candidate>();
  let looked = 0;
  for (const [root, tree] of trees) {
    const top = byId.get(root);
    if (!top || !hasTraits(top, asked.root)) continue;
    const shared = sharing.filter(s => s.roots.has(root) && s.provider.root !== root).map(s => s.provider);
    const parts = asked.groups.map(g => (g.suffix === '' ? spread(all, top, tree, shared, g.wish) : alone(all, tree, shared, g)));
    if (parts.some(p => p.length === 0)) continue;
    for (const combination of product(parts)) {
      if (++looked > ENOUGH || (asked.limit !== undefined && found.size >= asked.limit)) return told(all, byId, asked, [...found.values()]);
      if (asked.isolated && !apart(combination)) continue;
      if (!asked.subtrees.every(suffixes => together(byId, combination.filter(p => suffixes.includes(p.suffix)).flatMap(p => p.by)))) continue;
      const candidate = merged(byId, combination);
      if (!candidate || (!asked.nested && !onePerTree(byId, candidate))) continue;
      const key = JSON.stringify([[...candidate.takes].map(([id, of]) => [id, Object.entries(of).toSorted(byFirst)]).toSorted(byFirst), candidate.mappings]);
      if (!found.has(key)) found.set(key, candidate);
    }
  }
  return told(all, byId, asked, [...found.values()]);
}
const byFirst = (a: readonly unknown[], b: readonly unknown[]): number => (String(a[0]) < String(b[0]) ? -1 : 1);

/** Providers that share, each with the roots of the trees that it shares with. */
function sharers(all: readonly Provider[]): { provider: Provider; roots: ReadonlySet<string> }[] {
  return all.filter(p => p.traits.includes('MISC_SHARES_VIA_AGGREGATE')).map(provider => ({ provider, roots: new Set(all.filter(p => p.aggregates.some(a => provider.aggregates.includes(a))).map(p => p.root)) }));
}

/** The group without a suffix: each class from any provider of the tree or one that shares; traits are those of all of them together. */
function spread(all: readonly Provider[], top: Provider, tree: readonly Provider[], shared: readonly Provider[], wish: Wish): Part[] {
  if (wish.inTree !== undefined && treeOf(all, wish.inTree) !== top.uuid) return [];
  const within = wish.inTree === undefined ? [...tree, ...shared] : tree;
  // Who is in an aggregate is there with everything below; who shares is there itself or not at all.
  const members = within.filter(p => wish.memberOf.every(any => any.some(a => p.aggregates.includes(a) || (p.root === top.uuid && top.aggregates.includes(a)))) && !wish.notMemberOf.some(a => p.aggregates.includes(a) || top.aggregates.includes(a)) && !wish.forbidden.some(t => p.traits.includes(t)));
  const choices = Object.entries(wish.resources).map(([name, amount]) => members.filter(of => hasRoom(of, { [name]: amount })).map(of => ({ of, name, amount })));
  const parts: Part[] = [];
  for (const takes of product(choices)) {
    const by = [...new Set(takes.map(t => t.of))];
    if (hasTraits({ traits: by.flatMap(p => p.traits) }, wish)) parts.push({ suffix: '', takes, by });
    if (parts.length >= ENOUGH) break;
  }
  return parts;
}

/** A group with a suffix: everything from one provider, which has the traits and aggregates itself. One that takes nothing only marks a provider. */
function alone(all: readonly Provider[], tree: readonly Provider[], shared: readonly Provider[], { suffix, wish }: { suffix: string; wish: Wish }): Part[] {
  const root = treeOf(all, wish.inTree);
  return [...tree, ...shared].filter(p => (wish.inTree === undefined || p.root === root) && hasRoom(p, wish.resources) && hasTraits(p, wish) && isMember(p, wish))
    .map(of => ({ suffix, takes: Object.entries(wish.resources).map(([name, amount]) => ({ of, name, amount })), by: [of] }));
}

const apart = (combination: readonly Part[]): boolean => {
  const by = combination.filter(p => p.suffix !== '').flatMap(p => p.by);
  return new Set(by).size === by.length;
};

/** Whether one of these is above all the others. */
function together(byId: ReadonlyMap<string, Provider>, providers: readonly Provider[]): boolean {
  const above = (p: Provider): string[] => [p.uuid, ...(p.parent === null ? [] : above(byId.get(p.parent) as Provider))];
  const lines = providers.map(above);
  return providers.some(p => lines.every(line => line.includes(p.uuid)));
}

/** What all groups take together; undefined when that is more than there is. */
function merged(byId: ReadonlyMap<string, Provider>, combination: readonly Part[]): Candidate | undefined {
  const takes = new Map<string, Record<string, number>>();
  for (const { of, name, amount } of combination.flatMap(p => p.takes)) {
    const mine = takes.get(of.uuid) ?? {};
    mine[name] = (mine[name] ?? 0) + amount;
    takes.set(of.uuid, mine);
  }
  for (const [id, amounts] of takes) for (const [name, amount] of Object.entries(amounts)) {
    const p = byId.get(id) as Provider;
    const inventory = p.inventories[name];
    if (!inventory || amount > inventory.max_unit || (p.used[name] ?? 0) + amount > capacityOf(inventory)) return undefined;
  }
  return { takes, mappings: Object.fromEntries(combination.map(p => [p.suffix, p.by.map(b => b.uuid)])) };
}

const onePerTree = (byId: ReadonlyMap<string, Provider>, c: Candidate): boolean => new Set([...c.takes.keys()].map(id => byId.get(id)?.root)).size === c.takes.size;

/** The candidates, and whom they concern: everybody in their trees, for those who know of trees. */
function told(all: readonly Provider[], byId: ReadonlyMap<string, Provider>, asked: Asked, candidates: Candidate[]): { candidates: Candidate[]; concerned: Provider[] } {
  const taken = new Set(candidates.flatMap(c => [...c.takes.keys()]));
  const roots = new Set([...taken].map(id => byId.get(id)?.root));
  return { candidates, concerned: all.filter(p => (asked.nested ? roots.has(p.root) : taken.has(p.uuid))) };
}

/** One of each list, in every way. */
function* product<T>(lists: readonly (readonly T[])[]): Generator<T[]> {
  const [first, ...rest] = lists;
  if (first === undefined) { yield []; return; }
  for (const one of first) for (const others of product(rest)) yield [one, ...others];
}
