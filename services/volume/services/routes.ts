import { operation, Reply, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, lastOf, micros, NotFound, NotImplemented, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery } from '../listing.ts';
import { services, type ServiceRow } from './store.ts';

const ListQuery = shape('ServiceQuery', anyQuery);
const ServiceReply = shape('Service', z.unknown());
const List = shape('ServiceList', z.unknown(), { services: ServiceReply });
const Update = shape('ServiceUpdate', z.looseObject({ host: z.string().max(255).optional(), binary: z.string().max(255).nullish(), service: z.string().max(255).nullish(), disabled_reason: z.string().max(255).nullish(), cluster: z.string().max(255).nullish() }));
const LogBody = shape('LogLevels', z.looseObject({ binary: z.string().nullish(), server: z.string().nullish(), prefix: z.string().nullish(), level: z.string().nullish() }));
const levels = ['CRITICAL', 'ERROR', 'WARNING', 'INFO', 'DEBUG'] as const;

function view(row: ServiceRow) {
  return {
    binary: row.binary_name, host: row.host, zone: row.availability_zone, status: row.disabled ? 'disabled' : 'enabled', state: row.up ? 'up' : 'down', updated_at: micros(row.seen_at), disabled_reason: row.disabled_reason, cluster: row.cluster,
    ...(row.binary_name === 'cinder-volume' ? { replication_status: 'disabled', active_backend_id: null, frozen: row.frozen, backend_state: row.up ? 'up' : 'down' } : {}),
  };
}
/** Which service was meant, in the words of whoever asked, as upstream answers. */
const named = ({ host, service, binary }: { readonly host?: string | undefined; readonly service?: string | null | undefined; readonly binary?: string | null | undefined }) => ({ host, service: service ?? '', binary: binary ?? '' });

/** `/os-services`: what runs, and what an administrator says of it. Levels of logs are those of this process: there is one logger. */
export const routes = (rt: Runtime): Operation[] => {
  const change = async (host: string | undefined, binary: string | null | undefined, set: Record<string, unknown>): Promise<ServiceRow> => {
    if (!host) throw new BadRequest("Missing required element 'host' in request body.");
    const name = binary ?? 'cinder-volume';
    const [row] = await rt.db('volume_services').where({ host, binary_name: name }).update(set).returning('*');
    if (!row) throw new NotFound(`Service ${name} could not be found on host ${host}.`);
    return row as ServiceRow;
  };
  /** Freeze, thaw and failover call a host that is not there a bad request. */
  const backend = async (host: string | undefined, set: Record<string, unknown>): Promise<void> => {
    if (!host || await rt.db('volume_services').where({ host, binary_name: 'cinder-volume' }).update(set) === 0) throw new BadRequest(`Service cinder-volume could not be found on host ${host ?? ''}.`);
  };
  const put = <B extends z.ZodType>(action: string, policy: string, body: ReturnType<typeof shape<B>>, since: `${number}.${number}` | undefined, handler: Parameters<typeof operation<B>>[0]['handler']) => operation<B>({ id: `services.${action.replaceAll('-', '_')}`, summary: action, method: 'PUT', path: `/os-services/${action}`, policy, body, status: 200, ...(since ? { since } : {}), handler });
  const asked = (text: string | null | undefined, of: string): string => { const level = (text ?? '').toUpperCase(); if (!(levels as readonly string[]).includes(level)) throw new BadRequest(`Invalid input received: ${of} is none of ${levels.join(', ')}.`); return level; };
  const logs = (body: { binary?: string | null | undefined; server?: string | null | undefined }) => ['cinder-api', 'cinder-scheduler', 'cinder-volume'].filter(b => !body.binary || body.binary === '*' || body.binary === b);
  const binaryKnown = (binary: string | null | undefined) => { if (binary && !['*', 'cinder-api', 'cinder-scheduler', 'cinder-volume', 'cinder-backup'].includes(binary)) throw new BadRequest(`Invalid input received: ${binary} is not a valid binary.`); };
  return [
    operation({
      id: 'services.list', summary: 'List services', method: 'GET', path: '/os-services', policy: 'volume_extension:services:index', query: ListQuery, reply: List,
      handler: async ctx => {
        const q = services(rt.db, rt.settings.volume.serviceDownSeconds);
        const { host, binary } = ctx.query;
        const name = lastOf(host);
        if (typeof name === 'string' && name !== '') q.where(w => { void w.where({ host: name }).orWhereLike('host', `${name}@%`); });
        if (binary !== undefined) q.where({ binary_name: String(lastOf(binary)) });
        return { services: (await q as ServiceRow[]).map(view) };
      },
    }),
    put('enable', 'volume_extension:services:update', Update, undefined, async ctx => {
      await change(ctx.body.host, ctx.body.binary ?? ctx.body.service, { disabled: false, disabled_reason: null });
      return { ...named(ctx.body), status: 'enabled', disabled: false };
    }),
    put('disable', 'volume_extension:services:update', Update, undefined, async ctx => {
      await change(ctx.body.host, ctx.body.binary ?? ctx.body.service, { disabled: true });
      return { ...named(ctx.body), status: 'disabled', disabled: true };
    }),
    put('disable-log-reason', 'volume_extension:services:update', Update, undefined, async ctx => {
      const reason = ctx.body.disabled_reason?.trim();
      if (!reason) throw new BadRequest('Disabled reason contains invalid characters or is too long');
      await change(ctx.body.host, ctx.body.binary ?? ctx.body.service, { disabled: true, disabled_reason: reason });
      return { ...named(ctx.body), status: 'disabled', disabled: true, disabled_reason: reason };
    }),
    // Upstream says 200 here and 202 for a failover.
    put('freeze', 'volume:freeze_host', Update, undefined, async ctx => { await backend(ctx.body.host, { frozen: true, disabled: true, disabled_reason: 'frozen' }); return new Reply(200); }),
    put('thaw', 'volume:thaw_host', Update, undefined, async ctx => { await backend(ctx.body.host, { frozen: false, disabled: false, disabled_reason: null }); return new Reply(200); }),
    ...(['failover_host', 'failover'] as const).map(action => put(action, 'volume:failover_host', Update, action === 'failover' ? '3.26' : undefined, async ctx => {
      await backend(ctx.body.host, { seen_at: rt.db.ref('seen_at') });
      throw new NotImplemented('No backend here replicates, so there is nothing to fail over to.');
    })),
    put('set-log', 'volume_extension:services:update', LogBody, '3.32', async ctx => {
      const level = asked(ctx.body.level, 'level');
      binaryKnown(ctx.body.binary);
      rt.log.level = level === 'CRITICAL' ? 'fatal' : level === 'WARNING' ? 'warn' : level.toLowerCase();
      return new Reply(202);
    }),
    put('get-log', 'volume_extension:services:update', LogBody, '3.32', async ctx => {
      binaryKnown(ctx.body.binary);
      const shownLevel = ({ fatal: 'CRITICAL', warn: 'WARNING', silent: 'CRITICAL', trace: 'DEBUG' } as Record<string, string>)[rt.log.level] ?? rt.log.level.toUpperCase();
      return { log_levels: logs(ctx.body).map(binary => ({ host: rt.settings.host, binary, levels: { [`cinder${ctx.body.prefix && ctx.body.prefix !== 'cinder' ? `.${ctx.body.prefix}` : ''}`]: shownLevel } })) };
    }),
  ];
};
