import { operation, Reply, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, lastOf, micros, NotFound, shape, without, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { boolean } from '../servers/fields.ts';
import { hostRows, type HostRow } from './store.ts';

const Query = shape('ServiceQuery', z.strictObject({ host: z.union([z.string(), z.array(z.string())]).optional(), binary: z.union([z.string(), z.array(z.string())]).optional() }));
const Update = shape('ServiceUpdate', z.strictObject({ status: z.enum(['enabled', 'disabled']).optional(), disabled_reason: z.string().min(1).max(255).optional(), forced_down: boolean.optional() }));
const Named = shape('ServiceNamed', z.strictObject({ host: z.string().min(1).max(255), binary: z.string().min(1).max(255), disabled_reason: z.string().min(1).max(255).optional(), forced_down: boolean.optional() }));
const Service = shape('Service', z.any());
const Listed = shape('ServiceList', z.any(), { services: Service });
const Shown = shape('ShownService', z.any(), { service: Service });
export const changes: Change[] = [
  { at: '2.11', shape: 'Service', why: 'a service may be said to be down', down: without('forced_down') },
  { at: '2.53', trait: 'uuids of services', why: 'services and hypervisors are known by UUID' },
  { at: '2.75', shape: 'ServiceQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
];

interface View { id: string; num: number; binary: string; host: string; zone: string; status: string; state: string; updated_at: string; disabled_reason: string | null; forced_down: boolean }
const view = (h: HostRow): View => ({ binary: 'nova-compute', host: h.host, id: h.service_id, num: h.num, zone: h.zone, status: h.disabled ? 'disabled' : 'enabled', state: h.up ? 'up' : 'down', updated_at: micros(h.changed_at > h.seen_at ? h.changed_at : h.seen_at), disabled_reason: h.disabled_reason, forced_down: h.forced_down });
const shown = ({ num, ...v }: View, uuid: boolean) => (uuid ? v : { ...v, id: num });

export const routes = (c: Compute): Operation[] => {
  const { db, settings, clock } = c.rt;
  /** What nova runs beside its hypervisors is part of the API here; it is shown because operators look for it. */
  const ours = (): View[] => ['nova-scheduler', 'nova-conductor'].map((binary, i) => ({ binary, host: settings.host, id: `00000000-0000-4000-8000-00000000000${i + 1}`, num: 1_000_000 + i, zone: 'internal', status: 'enabled', state: 'up', updated_at: micros(new Date(clock())), disabled_reason: null, forced_down: false }));
  const find = async (key: { service_id?: string; host?: string; num?: number }): Promise<HostRow> => {
    const row: HostRow | undefined = await hostRows(db).where(Object.fromEntries(Object.entries(key).map(([k, v]) => [`h.${k}`, v]))).first();
    if (!row) throw new NotFound(key.host === undefined ? `Service ${key.service_id ?? key.num} could not be found.` : `Could not find binary nova-compute on host ${key.host}.`);
    return row;
  };
  const set = async (host: string, change: Record<string, unknown>) => { await db('compute_hosts').where({ host }).update({ ...change, changed_at: db.fn.now() }); };
  const named = (id: string, verb: string, apply: (b: z.output<typeof Named.newest>) => { change: Record<string, unknown>; answer: Record<string, unknown> }, since?: '2.11') => operation({
    id: `services.${id}`, summary: `${id} a service`, method: 'PUT', path: `/os-services/${verb}`, until: '2.52', ...(since ? { since } : {}), policy: 'os_compute_api:os-services:update', body: Named,
    handler: async ctx => {
      const b = ctx.body;
      const row = b.binary === 'nova-compute' ? await find({ host: b.host }) : undefined;
      if (!row && b.binary !== 'nova-compute') throw new NotFound(`Could not find binary ${b.binary} on host ${b.host}.`);
      const { change, answer } = apply(b);
      await set(b.host, change);
      return { service: { host: b.host, binary: b.binary, ...answer } };
    },
  });
  return [
    operation({
      id: 'services.list', summary: 'Services of compute', method: 'GET', path: '/os-services', policy: 'os_compute_api:os-services:list', query: Query, reply: Listed,
      handler: async ctx => {
        const uuid = ctx.dialect.has('uuids of services');
        const all = [...ours(), ...(await hostRows(db) as HostRow[]).map(view)];
        const [host, binary] = [lastOf(ctx.query.host), lastOf(ctx.query.binary)];
        return { services: all.filter(s => (host === undefined || s.host === host) && (binary === undefined || s.binary === binary)).map(s => shown(s, uuid)) };
      },
    }),
    operation({
      id: 'services.update', summary: 'Enable, disable or force down', method: 'PUT', path: '/os-services/:service_id', since: '2.53', policy: 'os_compute_api:os-services:update', body: Update, reply: Shown,
      handler: async ctx => {
        const id = ctx.params['service_id'] ?? '';
        if (!/^[0-9a-f-]{36}$/i.test(id)) throw new BadRequest(`Invalid uuid ${id}`);
        const { status, disabled_reason: reason, forced_down: down } = ctx.body;
        if (status === undefined && down === undefined) throw new BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.");
        if (reason !== undefined && status !== 'disabled') throw new BadRequest("Specifying 'disabled_reason' requires that status be 'disabled'.");
        const row = await find({ service_id: id });
        await set(row.host, { ...(status === undefined ? {} : { disabled: status === 'disabled', disabled_reason: status === 'disabled' ? reason ?? null : null }), ...(down === undefined ? {} : { forced_down: down }) });
        return { service: shown(view(await find({ service_id: id })), true) };
      },
    }),
    named('enable', 'enable', () => ({ change: { disabled: false, disabled_reason: null }, answer: { status: 'enabled' } })),
    named('disable', 'disable', () => ({ change: { disabled: true, disabled_reason: null }, answer: { status: 'disabled' } })),
    named('disable_with_reason', 'disable-log-reason', b => {
      if (b.disabled_reason === undefined) throw new BadRequest("Invalid input for field/attribute disabled_reason. 'disabled_reason' is a required property");
      return { change: { disabled: true, disabled_reason: b.disabled_reason }, answer: { status: 'disabled', disabled_reason: b.disabled_reason } };
    }),
    named('force_down', 'force-down', b => ({ change: { forced_down: b.forced_down ?? false }, answer: { forced_down: b.forced_down ?? false } }), '2.11'),
    operation({
      id: 'services.delete', summary: 'Forget a host', method: 'DELETE', path: '/os-services/:service_id', policy: 'os_compute_api:os-services:delete',
      handler: async ctx => {
        const id = ctx.params['service_id'] ?? '';
        const uuid = ctx.dialect.has('uuids of services');
        if (uuid ? !/^[0-9a-f-]{36}$/i.test(id) : !/^\d{1,9}$/.test(id)) throw new BadRequest(`Invalid ${uuid ? 'uuid' : 'id'} ${id}`);
        const row = await find(uuid ? { service_id: id } : { num: Number(id) });
        if (await db('servers').where({ host: row.host, deleted: false }).first('id')) throw new Conflict('Unable to delete compute service that is hosting instances. Migrate or delete the instances first.');
        await db('compute_hosts').where({ host: row.host }).update({ deleted: true });
        await db('aggregates').whereRaw('? = any(hosts)', [row.host]).update({ hosts: db.raw('array_remove(hosts, ?)', [row.host]) });
        return new Reply(204);
      },
    }),
  ];
};
