import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { extendGuestPlan } from '@cumulet/volume';
import { NotFound, shape, uuid, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { hostQueue } from '../servers/row.ts';
import { byOf } from '../who.ts';

const names = ['network-changed', 'network-vif-plugged', 'network-vif-unplugged', 'network-vif-deleted', 'volume-extended', 'power-update', 'accelerator-request-bound', 'volume-reimaged'] as const;
const body = (of: readonly string[]) => z.strictObject({ events: z.array(z.strictObject({ server_uuid: uuid, name: z.enum(of as [string, ...string[]]), status: z.enum(['failed', 'completed', 'in-progress']).optional(), tag: z.string().max(255).optional() })).min(1) });
const Events = shape('ExternalEvents', body(names));
const without = (...gone: string[]) => () => body(names.filter(n => !gone.includes(n)));
export const changes: Change[] = [
  { at: '2.51', shape: 'ExternalEvents', why: 'volume-extended', was: without('volume-extended', 'power-update', 'accelerator-request-bound', 'volume-reimaged') },
  { at: '2.76', shape: 'ExternalEvents', why: 'power-update', was: without('power-update', 'accelerator-request-bound', 'volume-reimaged') },
  { at: '2.82', shape: 'ExternalEvents', why: 'accelerator-request-bound', was: without('accelerator-request-bound', 'volume-reimaged') },
  { at: '2.93', shape: 'ExternalEvents', why: 'volume-reimaged', was: without('volume-reimaged') },
];

/** Of a volume that the server has: its guest learns of the size that the volume's row has. */
const grown = (c: Compute, ctx: Context, serverId: string, volumeId: string): Promise<void> => transaction(c.rt.db, async trx => {
  const [attachment] = (await c.n.volumes.attachmentsOf(trx, [serverId])).filter(a => a.volume_id === volumeId && a.status === 'attached');
  const row = await trx('servers').where({ id: serverId }).first('host') as { host: string | null } | undefined;
  if (!attachment || row?.host == null) return;
  const { size } = await c.n.volumes.find(trx, { projectId: undefined, userId: '', admin: true }, volumeId);
  await c.rt.tasks.enqueue(trx, extendGuestPlan, { serverId, volumeId, sizeBytes: size * 2 ** 30 }, { queue: hostQueue(row.host), lane: `extend-guest/${attachment.id}`, resource: { type: 'server', id: serverId }, by: byOf(ctx) });
});

/** Our own services share the database and need not tell; events of others are checked and answered as upstream does. A volume that has grown is told to the guest. */
export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'external_events.create', summary: 'What other services tell of servers', method: 'POST', path: '/os-server-external-events', policy: 'os_compute_api:os-server-external-events:create', body: Events,
    handler: async ctx => {
      const rows = await c.rt.db('servers').whereIn('id', ctx.body.events.map(e => e.server_uuid.toLowerCase())).where({ deleted: false }).select('id', 'host') as { id: string; host: string | null }[];
      const judged = ctx.body.events.map(e => {
        const row = rows.find(r => r.id === e.server_uuid.toLowerCase());
        return { ...e, status: e.status ?? 'completed', ...(e.tag === undefined ? {} : { tag: e.tag }), ...(!row ? { code: 404, status: 'failed' } : row.host === null ? { code: 422, status: 'failed' } : { code: 200 }) };
      });
      if (judged.every(e => e.code === 404)) throw new NotFound('No instances found for any event');
      for (const e of judged) if (e.name === 'volume-extended' && e.code === 200 && e.tag !== undefined) await grown(c, ctx as never, e.server_uuid.toLowerCase(), e.tag);
      return new Reply(judged.every(e => e.code === 200) ? 200 : 207, { events: judged });
    },
  }),
];
