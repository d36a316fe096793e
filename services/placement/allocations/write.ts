import { BadRequest, Conflict, own } from '@cumulet/wire';
import type { Knex } from 'knex';
import { unknownClass } from '../catalog/store.ts';
import { computed, concurrent } from '../refusal.ts';
import { grow, isUnit, lockProviders, type Provider } from '../providers/store.ts';
import type { ToHold } from '../schemas.ts';

/** Whoever was written down before owners had to be named: upstream's incomplete consumers. */
const NOBODY = '00000000-0000-0000-0000-000000000000';
interface Row { consumer_id: string; provider_id: string; class: string; used: number }

/** What servers hold is compute's: nobody writes it here. */
export async function refuseServers(trx: Knex.Transaction, consumers: readonly string[]): Promise<void> {
  const server = await trx('servers').whereIn('id', consumers).where({ deleted: false }).first('id') as { id: string } | undefined;
  if (server) throw computed(`Allocations of servers (here ${server.id})`);
}

/**
 * Locks the consumers, and those that there were not are made. `versioned`: the caller says which generation it knows, null of somebody new.
 * @throws 409 when that is another
 */
async function lockConsumers(trx: Knex.Transaction, wanted: ReadonlyMap<string, ToHold>, versioned: boolean): Promise<void> {
  for (const [id, w] of [...wanted].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const facts = { project_id: w.project_id ?? NOBODY, user_id: w.user_id ?? NOBODY, ...(w.consumer_type === undefined ? {} : { type: w.consumer_type }) };
    const made = (await trx('placement_consumers').insert({ id, ...facts }).onConflict('id').ignore().returning('id')).length > 0;
    const { generation } = await trx('placement_consumers').where({ id }).forUpdate().first('generation') as { generation: number };
    const expected = made ? null : generation;
    if (versioned && w.consumer_generation !== expected) throw concurrent(`consumer generation conflict - expected ${made ? 'null' : generation} but got ${w.consumer_generation === null ? 'None' : w.consumer_generation}`);
    if (!made) await trx('placement_consumers').where({ id }).update(facts);
  }
}

/** What each consumer is to hold, instead of whatever it holds. All of it or nothing; two of these at once never take more than there is. */
export class Replacement {
  readonly #trx: Knex.Transaction;
  readonly #wanted: ReadonlyMap<string, ToHold>;
  readonly #before = new Map<string, number>();
  #old: Row[] = [];
  #providers = new Map<string, Provider>();

  private constructor(trx: Knex.Transaction, wanted: ReadonlyMap<string, ToHold>) {
    this.#trx = trx;
    this.#wanted = wanted;
  }

  /** Locks everybody concerned, and takes what the consumers held. `more`: providers that the caller is going to change in between. */
  static async begin(trx: Knex.Transaction, wanted: ReadonlyMap<string, ToHold>, o: { versioned: boolean; more?: readonly string[] }): Promise<Replacement> {
    const r = new Replacement(trx, wanted);
    await refuseServers(trx, [...wanted.keys()]);
    await lockConsumers(trx, wanted, o.versioned);
    r.#old = await trx('placement_allocations').whereIn('consumer_id', [...wanted.keys()]).select('consumer_id', 'provider_id', 'class', 'used');
    const asked = [...wanted.values()].flatMap(w => Object.keys(w.allocations));
    r.#providers = await lockProviders(trx, [...new Set([...asked, ...r.#old.map(row => row.provider_id), ...o.more ?? []])]);
    const absent = asked.find(id => !r.#providers.has(id));
    if (absent !== undefined) throw new BadRequest(`Allocation for resource provider '${absent}' that does not exist.`);
    for (const p of r.#providers.values()) for (const [name, amount] of Object.entries(p.used)) r.#before.set(`${p.uuid} ${name}`, amount);
    if (r.#old.length > 0) await trx('placement_allocations').whereIn('consumer_id', [...wanted.keys()]).delete();
    return r;
  }

  /** A provider that is locked, with what it had at the beginning less what the consumers held. */
  async providers(): Promise<Map<string, Provider>> {
    this.#providers = await lockProviders(this.#trx, [...this.#providers.keys()]);
    return this.#providers;
  }

  /** Gives the consumers what they want, if there is room. `saying`: what a 400 begins with. */
  async commit(saying = 'Unable to allocate inventory'): Promise<void> {
    const providers = await this.providers();
    const rows: Row[] = [...this.#wanted].flatMap(([consumer_id, w]) => Object.entries(w.allocations).flatMap(([provider_id, { resources }]) => Object.entries(resources).map(([name, used]) => ({ consumer_id, provider_id, class: name, used }))));
    const missing = await unknownClass(this.#trx, rows.map(r => r.class));
    if (missing !== undefined) throw new BadRequest(`${saying}: No such resource class ${missing}.`);
    const sums = new Map<string, number>();
    for (const r of rows) sums.set(`${r.provider_id} ${r.class}`, (sums.get(`${r.provider_id} ${r.class}`) ?? 0) + r.used);
    for (const r of rows) this.#check(providers.get(r.provider_id) as Provider, r, sums.get(`${r.provider_id} ${r.class}`) ?? 0);
    if (rows.length > 0) await this.#trx('placement_allocations').insert(rows);
    const emptied = [...this.#wanted].filter(([, w]) => Object.keys(w.allocations).length === 0).map(([id]) => id);
    const touched = new Set([...rows.map(r => r.provider_id), ...this.#old.filter(r => emptied.includes(r.consumer_id)).map(r => r.provider_id)]);
    for (const id of touched) await grow(this.#trx, id);
    await this.#trx('placement_consumers').whereIn('id', [...this.#wanted.keys()]).update({ generation: this.#trx.raw('generation + 1'), changed_at: this.#trx.fn.now() });
    if (emptied.length > 0) await this.#trx('placement_consumers').whereIn('id', emptied).delete();
  }

  #check(p: Provider, r: Row, sum: number): void {
    const refused = (reason: string) => new Conflict(`Unable to allocate inventory: ${reason}`);
    const inventory = own(p.inventories, r.class);
    if (!inventory) throw refused(`Inventory for '${r.class}' on resource provider '${p.uuid}' invalid.`);
    if (!isUnit(inventory, r.used)) throw refused(`Unable to create allocation for '${r.class}' on resource provider '${p.uuid}'. The requested amount would violate inventory constraints.`);
    const then = (p.used[r.class] ?? 0) + sum;
    // Where more is taken already than there is, a change that does not make it worse may pass.
    if (then > (inventory.total - inventory.reserved) * inventory.allocation_ratio && then > (this.#before.get(`${p.uuid} ${r.class}`) ?? 0)) throw refused(`Unable to create allocation for '${r.class}' on resource provider '${p.uuid}'. The requested amount would exceed the capacity.`);
  }
}
