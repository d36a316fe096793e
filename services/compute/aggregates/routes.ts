import { duplicateOf, transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, micros, NotFound, orNull, shape, uuid, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { hostName, metadataKey, name, zone } from '../servers/fields.ts';

const az = z.union([zone.regex(/^[^:]*$/), z.null()]);
const Create = shape('AggregateCreate', z.strictObject({ aggregate: z.strictObject({ name, availability_zone: az.optional() }) }));
const Update = shape('AggregateUpdate', z.strictObject({ aggregate: z.strictObject({ name: name.optional(), availability_zone: az.optional() }).refine(a => Object.keys(a).length > 0, { message: '{} does not have enough properties' }) }));
const AddHost = shape('AggregateAddHost', z.strictObject({ add_host: z.strictObject({ host: hostName }) }));
const RemoveHost = shape('AggregateRemoveHost', z.strictObject({ remove_host: z.strictObject({ host: hostName }) }));
const SetMetadata = shape('AggregateSetMetadata', z.strictObject({ set_metadata: z.strictObject({ metadata: z.record(metadataKey, z.string().max(255).nullable()) }) }));
const CacheImages = shape('AggregateImages', z.strictObject({ cache: z.array(z.strictObject({ id: uuid })).min(1) }));
const View = shape('Aggregate', z.any());
const Shown = shape('ShownAggregate', z.any(), { aggregate: View });
const Listed = shape('AggregateList', z.any(), { aggregates: View });
export const changes: Change[] = [{ at: '2.41', shape: 'Aggregate', why: 'aggregates have UUIDs', down: without('uuid') }];

interface Row { num: number; id: string; name: string; metadata: Record<string, string>; hosts: string[]; created_at: Date; updated_at: Date | null }
const view = (r: Row) => ({ id: r.num, uuid: r.id, name: r.name, hosts: r.hosts, metadata: r.metadata, created_at: micros(r.created_at), updated_at: orNull(micros)(r.updated_at), deleted_at: null, deleted: false, availability_zone: r.metadata['availability_zone'] ?? null });

/** What is not there is not active. */
const absent = (error: unknown): undefined => { if (!(error instanceof NotFound)) throw error; };

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const rule = (verb: string) => `os_compute_api:os-aggregates:${verb}`;
  const find = async (ctx: Pick<Context, 'params'>, trx: Trx = db): Promise<Row> => {
    const id = ctx.params['id'] ?? '';
    if (!/^-?\d{1,9}$/.test(id)) throw new BadRequest('Invalid input received: id must be an integer');
    const row: Row | undefined = await trx('aggregates').where({ num: Number(id) }).first();
    if (!row) throw new NotFound(`Aggregate ${id} could not be found.`);
    return row;
  };
  const named = (error: unknown, given: string): never => { throw duplicateOf(error) === undefined ? error : new Conflict(`Aggregate ${given} already exists.`); };
  /** Hosts and metadata are no change of the aggregate itself: upstream's `updated_at` is as it was. */
  const save = async (trx: Trx, row: Row, set: Record<string, unknown>) => { const [saved] = await trx('aggregates').where({ num: row.num }).update(set).returning('*'); return { aggregate: view(saved as Row) }; };
  /** A zone may not be pulled from under servers, and a host is in one zone only. */
  const zoneMayChange = async (trx: Trx, row: Row, to: string | null | undefined) => {
    if (to === undefined || to === (row.metadata['availability_zone'] ?? null) || row.hosts.length === 0) return;
    if (await trx('servers').whereIn('host', row.hosts).where({ deleted: false }).first('id')) throw new BadRequest(`Cannot update aggregate ${row.num}. Reason: One or more hosts contain instances in this zone.`);
    for (const host of row.hosts) await oneZone(trx, row, host, to);
  };
  const oneZone = async (trx: Trx, row: Row, host: string, to: string | null) => {
    if (to === null) return;
    const other = await trx('aggregates').whereNot({ num: row.num }).whereRaw('? = any(hosts)', [host]).whereRaw(`metadata ->> 'availability_zone' <> ?`, [to]).first('name');
    if (other) throw new Conflict(`Cannot add host to aggregate ${row.num}. Reason: Cannot add host ${host} to aggregate ${row.num}: it is in another availability zone.`);
  };
  const action = <B extends z.ZodType>(verb: string, body: ReturnType<typeof shape<B>>, run: (trx: Trx, row: Row, b: z.output<B>) => Promise<unknown>) => operation({
    id: `aggregates.${verb}`, summary: verb.replace('_', ' '), method: 'POST', path: '/os-aggregates/:id/action', action: verb, policy: rule(verb), body, reply: Shown,
    handler: ctx => transaction(db, async trx => run(trx, await find(ctx, trx), ctx.body)),
  });
  return [
    operation({ id: 'aggregates.list', summary: 'Host aggregates', method: 'GET', path: '/os-aggregates', policy: rule('index'), reply: Listed, handler: async () => ({ aggregates: (await db('aggregates').orderBy('num') as Row[]).map(view) }) }),
    operation({
      id: 'aggregates.create', summary: 'Create an aggregate', method: 'POST', path: '/os-aggregates', policy: rule('create'), body: Create, reply: Shown,
      handler: async ctx => {
        const a = ctx.body.aggregate;
        const [row] = await db('aggregates').insert({ name: a.name, metadata: JSON.stringify(a.availability_zone ? { availability_zone: a.availability_zone } : {}) }).returning('*').catch((error: unknown) => named(error, a.name)) as Row[];
        // Upstream leaves both out of this one reply.
        const { hosts: _, metadata: __, ...made } = view(row as Row);
        return { aggregate: made };
      },
    }),
    operation({ id: 'aggregates.show', summary: 'Show an aggregate', method: 'GET', path: '/os-aggregates/:id', policy: rule('show'), reply: Shown, handler: async ctx => ({ aggregate: view(await find(ctx)) }) }),
    operation({
      id: 'aggregates.update', summary: 'Change an aggregate', method: 'PUT', path: '/os-aggregates/:id', policy: rule('update'), body: Update, reply: Shown,
      handler: ctx => transaction(db, async trx => {
        const row = await find(ctx, trx);
        const { name: to, availability_zone: wanted } = ctx.body.aggregate;
        await zoneMayChange(trx, row, wanted);
        const metadata = { ...row.metadata, ...(wanted ? { availability_zone: wanted } : {}) };
        if (wanted === null) delete metadata['availability_zone'];
        return save(trx, row, { ...(to === undefined ? {} : { name: to }), metadata: JSON.stringify(metadata), updated_at: trx.fn.now() }).catch((error: unknown) => named(error, to ?? ''));
      }),
    }),
    operation({
      id: 'aggregates.delete', summary: 'Delete an aggregate', method: 'DELETE', path: '/os-aggregates/:id', policy: rule('delete'),
      handler: ctx => transaction(db, async trx => {
        const row = await find(ctx, trx);
        if (row.hosts.length > 0) throw new BadRequest(`Cannot remove host from aggregate ${row.num}. Reason: Host aggregate is not empty.`);
        await trx('aggregates').where({ num: row.num }).delete();
        return new Reply(200);
      }),
    }),
    action('add_host', AddHost, async (trx, row, { add_host: { host } }) => {
      if (!await trx('compute_hosts').where({ host, deleted: false }).first('host')) throw new NotFound(`Compute host ${host} could not be found.`);
      if (row.hosts.includes(host)) throw new Conflict(`Aggregate ${row.num} already has host ${host}.`);
      await oneZone(trx, row, host, row.metadata['availability_zone'] ?? null);
      return save(trx, row, { hosts: [...row.hosts, host] });
    }),
    action('remove_host', RemoveHost, async (trx, row, { remove_host: { host } }) => {
      if (!row.hosts.includes(host)) throw new NotFound(`Aggregate ${row.num} has no host ${host}.`);
      return save(trx, row, { hosts: row.hosts.filter(h => h !== host) });
    }),
    action('set_metadata', SetMetadata, async (trx, row, { set_metadata: { metadata } }) => {
      await zoneMayChange(trx, row, metadata['availability_zone']);
      const next = Object.fromEntries(Object.entries({ ...row.metadata, ...metadata }).filter(([, v]) => v !== null));
      return save(trx, row, { metadata: JSON.stringify(next) });
    }),
    operation({
      id: 'aggregates.images', summary: 'Bring images to the hosts beforehand', method: 'POST', path: '/os-aggregates/:id/images', since: '2.81', policy: 'compute:aggregates:images', body: CacheImages,
      handler: async ctx => {
        const row = await find(ctx);
        if (new Set(ctx.body.cache.map(i => i.id)).size !== ctx.body.cache.length) throw new BadRequest('Duplicate images in request');
        for (const image of ctx.body.cache) if ((await c.n.images.find(db, { isAdmin: true }, image.id).catch(absent))?.status !== 'active') throw new BadRequest(`Image ${image.id} is not found`);
        if (row.hosts.length === 0) throw new BadRequest(`Aggregate ${row.num} has no hosts.`);
        return new Reply(202);
      },
    }),
  ];
};
