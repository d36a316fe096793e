import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { micros, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery, links, nextLink } from '../listing.ts';
import { bool, nullableName, uuidText } from '../shapes.ts';
import { accept, create, list, remove, show } from './service.ts';
import type { TransferRow } from './service.ts';

const Create = shape('TransferCreate', z.looseObject({ transfer: z.object({ volume_id: uuidText, name: nullableName }) }));
const CreateNew = shape('VolumeTransferCreate', z.looseObject({ transfer: z.object({ volume_id: uuidText, name: nullableName, no_snapshots: bool.optional() }) }));
const Accept = shape('TransferAccept', z.looseObject({ accept: z.strictObject({ auth_key: z.string().min(1).max(255) }) }));
const ListQuery = shape('TransferQuery', anyQuery);
const TransferReply = shape('Transfer', z.unknown());
const One = shape('TransferReply', z.unknown(), { transfer: TransferReply });
const List = shape('TransferList', z.unknown(), { transfers: TransferReply });

/** Both paths serve the same transfers: `/os-volume-transfer` in its old form, `/volume-transfers` (3.55) with all that came later. */
const at = [{ feature: 'transfers', path: '/os-volume-transfer', fresh: false }, { feature: 'volume_transfers', path: '/volume-transfers', fresh: true }] as const;

export const routes = (rt: Runtime): Operation[] => at.flatMap(({ feature, path, fresh }) => {
  const since = fresh ? { since: '3.55' as const } : {};
  const collection = path.slice(1);
  const brief = (ctx: Context, t: TransferRow) => ({ id: t.id, volume_id: t.volume_id, name: t.name, links: links(ctx, collection, t.id) });
  const full = (ctx: Context, t: TransferRow) => ({
    id: t.id, created_at: micros(t.created_at), name: t.name, volume_id: t.volume_id, links: links(ctx, collection, t.id),
    ...(fresh ? { no_snapshots: t.no_snapshots, source_project_id: t.project_id, destination_project_id: t.destination_project_id, accepted: t.accepted } : {}),
  });
  const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['transfer_id'] ?? '';
  return [
    operation({
      id: `${feature}.create`, summary: 'Offer a volume', method: 'POST', path, ...since, policy: 'volume:create_transfer', permit: 'object', body: fresh ? CreateNew : Create, reply: One, status: 202,
      handler: async ctx => {
        const t = ctx.body.transfer as { volume_id: string; name?: string | null; no_snapshots?: boolean };
        const { row, key } = await create(rt, ctx as never, { volumeId: t.volume_id, name: t.name ?? null, noSnapshots: t.no_snapshots ?? false, withSnapshots: fresh });
        return { transfer: { ...full(ctx as never, row), auth_key: key } };
      },
    }),
    operation({ id: `${feature}.list`, summary: 'List transfers', method: 'GET', path, ...since, policy: 'volume:get_all_transfers', permit: 'object', query: ListQuery, reply: List, handler: async ctx => { const { page, rows } = await list(rt, ctx as never, ctx.query); return { transfers: rows.map(r => brief(ctx as never, r)), ...nextLink(ctx, 'transfers', page, rows) }; } }),
    operation({ id: `${feature}.detail`, summary: 'List transfers with details', method: 'GET', path: `${path}/detail`, ...since, policy: 'volume:get_all_transfers', permit: 'object', query: ListQuery, reply: List, handler: async ctx => { const { page, rows } = await list(rt, ctx as never, ctx.query); return { transfers: rows.map(r => full(ctx as never, r)), ...nextLink(ctx, 'transfers', page, rows) }; } }),
    operation({ id: `${feature}.show`, summary: 'Show a transfer', method: 'GET', path: `${path}/:transfer_id`, ...since, policy: 'volume:get_transfer', permit: 'object', reply: One, handler: async ctx => ({ transfer: full(ctx as never, await show(rt, ctx as never, id(ctx))) }) }),
    operation({ id: `${feature}.delete`, summary: 'Take an offer back', method: 'DELETE', path: `${path}/:transfer_id`, ...since, policy: 'volume:delete_transfer', permit: 'object', handler: async ctx => { await remove(rt, ctx as never, id(ctx)); return new Reply(202); } }),
    operation({ id: `${feature}.accept`, summary: 'Accept a volume', method: 'POST', path: `${path}/:transfer_id/accept`, ...since, policy: 'volume:accept_transfer', body: Accept, reply: One, status: 202, handler: async ctx => ({ transfer: brief(ctx as never, await accept(rt, ctx as never, id(ctx), ctx.body.accept.auth_key)) }) }),
  ];
});
