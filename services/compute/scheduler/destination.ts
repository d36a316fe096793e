import type { Context } from '@cumulet/http';
import { BadRequest, newId } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Compute } from '../compute.ts';
import { hostQueue, type ServerFlavor, type ServerRow } from '../servers/row.ts';
import { devicesOf, downAfterSeconds } from '../servers/store.ts';
import { needsOf, candidates, claim, NoValidHost, type Candidate, type Wish } from './claim.ts';
import { wishOf } from './wish.ts';

export type Kind = 'cold' | 'resize' | 'live' | 'evacuate';
const types = { cold: 'migration', resize: 'resize', live: 'live-migration', evacuate: 'evacuation' } as const;
const begins = { cold: 'migrating', resize: 'migrating', live: 'preparing', evacuate: 'accepted' } as const;
const shares = (a: Candidate, b: Candidate) => a.facts.storageId !== undefined && a.facts.storageId === b.facts.storageId;
const isUp = (h: Candidate | undefined) => h !== undefined && !h.forced_down && h.age < downAfterSeconds;

/** The row that tells of a move, and its number. */
export async function tell(trx: Knex.Transaction, ctx: Pick<Context, 'caller'>, row: ServerRow, taskId: string, o: { kind: Kind; to: string; flavor: Pick<ServerFlavor, 'num'> }): Promise<number> {
  const [made] = await trx('server_migrations').insert({
    id: newId(), server_id: row.id, project_id: row.project_id, user_id: ctx.caller.userId, type: types[o.kind], status: begins[o.kind], source_host: row.host, dest_host: o.to, old_flavor: row.flavor.num, new_flavor: o.flavor.num, task_id: taskId,
  }).returning('num') as { num: number }[];
  return (made as { num: number }).num;
}

/** Which hosts can take a server from this one, beside what the scheduler's filters say. */
function able(kind: Kind, from: Candidate | undefined): Wish['able'] {
  if (!from) return undefined;
  const sameDriver = (h: Candidate) => h.facts.type === from.facts.type;
  if (kind === 'live') return { why: 'LiveMigration', host: h => sameDriver(h) && h.facts.live === true };
  if (kind === 'evacuate') return { why: 'Evacuation', host: sameDriver };
  return { why: 'Disks', host: h => sameDriver(h) && (shares(from, h) || from.facts.disksUrl !== undefined) };
}

/** Another host that can take the server, its share there, the row that tells of it, and what the plan has to know. Throws upstream's 400s. */
export async function destination(c: Compute, ctx: Pick<Context, 'caller'>, trx: Knex.Transaction, row: ServerRow, taskId: string, o: { kind: Kind; to?: string | undefined; flavor?: ServerFlavor }) {
  const { kind, to } = o;
  const scheduler = c.rt.settings.compute.scheduler;
  const known = await candidates(trx, scheduler, needsOf((o.flavor ?? row.flavor).extra_specs, row.image.properties));
  const from = known.find(h => h.host === row.host);
  if (to !== undefined && !known.some(h => h.host === to)) throw new BadRequest(`Compute host ${to} could not be found.`);
  if (to !== undefined && to === row.host) throw new BadRequest(kind === 'evacuate' ? `The target host can't be the same one.` : kind === 'live' ? `Unable to migrate instance (${row.id}) to current host (${to}).` : 'Cannot migrate to the host where the server exists.');
  if (kind === 'live' && from && from.facts.live !== true) throw new BadRequest(`Migration pre-check error: the hypervisor of ${row.host} cannot migrate running servers to another host.`);
  if (kind !== 'evacuate' && !isUp(from)) throw new BadRequest(`Compute service of ${row.host} is unavailable at this time.`);
  if (kind === 'evacuate') for (const d of await devicesOf(trx, row.id)) {
    const at = d.volume_id === null ? undefined : await c.n.volumes.at(trx, d.volume_id);
    if (at?.queue.startsWith(`backend/${row.host}@`)) throw new BadRequest(`Volume ${d.volume_id} is on the host ${row.host}, which is down.`);
  }
  const can = able(kind, from);
  const wish: Wish = { ...await wishOf(trx, row, o.flavor ?? row.flavor), ...(to === undefined ? {} : { host: to }), avoid: row.host === null ? [] : [row.host], ...(row.pinned_zone === null ? {} : { zone: row.pinned_zone }), ...(can ? { able: can } : {}) };
  let found;
  try { found = await claim(trx, row.id, wish, { scheduler, heldFor: 'migration', hosts: known }); } catch (error) {
    // Who may name hosts may know why they do not do.
    throw error instanceof NoValidHost ? new BadRequest(kind === 'resize' ? 'No valid host was found. No valid host found for resize' : `${error.message}${to === undefined ? '' : ` ${error.details}`}`) : error;
  }
  const there = known.find(h => h.host === found.host);
  const shared = from !== undefined && there !== undefined && shares(from, there);
  const num = await tell(trx, ctx, row, taskId, { kind, to: found.host, flavor: o.flavor ?? row.flavor });
  return { migration: num, from: row.host ?? '', to: found.host, zone: found.zone, node: found.node, shared, queue: hostQueue(found.host) };
}
