import type { ConnectionInfo } from '@cumulet/drivers/block';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { micros, shape } from '@cumulet/wire';
import { z } from 'zod';
import { anyQuery, nextLink } from '../listing.ts';
import { optionalUuid, uuidText } from '../shapes.ts';
import { publicConnection } from './plans.ts';
import { connect, create, list, markComplete, remove, show } from './service.ts';
import type { AttachmentRow } from './store.ts';

const connector = z.record(z.string(), z.unknown()).nullish();
const AttachmentCreate = shape('AttachmentCreate', z.strictObject({ attachment: z.strictObject({ volume_uuid: uuidText, instance_uuid: optionalUuid, connector, mode: z.enum(['rw', 'ro']).nullish() }) }));
const AttachmentUpdate = shape('AttachmentUpdate', z.strictObject({ attachment: z.strictObject({ connector: z.record(z.string(), z.unknown()).refine(c => Object.keys(c).length > 0, { error: '{} does not have enough properties' }) }) }));
const ListQuery = shape('AttachmentListQuery', anyQuery);
const Any = shape('AnyAction', z.looseObject({}));
const AttachmentReply = shape('Attachment', z.unknown());
const One = shape('AttachmentReply', z.unknown(), { attachment: AttachmentReply });
const List = shape('AttachmentList', z.unknown(), { attachments: AttachmentReply });

const brief = (row: AttachmentRow) => ({ id: row.id, status: row.status, instance: row.server_id, volume_id: row.volume_id });
/** Upstream flattens connection_info here: the driver's data beside its type. Times are empty strings until there is one. */
function detail(ctx: Context, row: AttachmentRow, connection?: ConnectionInfo) {
  const info = connection ?? row.connection_info as ConnectionInfo | null;
  const privileged = ctx.allows('context_is_admin') || ctx.caller.serviceRoles.includes('service');
  const shown = info ? publicConnection(info, privileged) : undefined;
  return {
    ...brief(row), attached_at: row.attached_at ? micros(row.attached_at) : '', detached_at: '', attach_mode: row.status === 'reserved' && !info ? row.mode : row.mode,
    connection_info: shown ? { ...shown.data, driver_volume_type: shown.driver_volume_type, ...(shown.mount_point_base === undefined ? {} : { mount_point_base: shown.mount_point_base }), attachment_id: row.id } : {},
  };
}
const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['attachment_id'] ?? '';

/** `/attachments` (3.27): the one way in which anything gets a volume. */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'attachments.create', summary: 'Reserve or attach a volume', method: 'POST', path: '/attachments', since: '3.27', policy: 'volume:attachment_create', permit: 'object', body: AttachmentCreate, reply: One, status: 200,
    handler: async ctx => {
      const a = ctx.body.attachment;
      const { row, connection } = await create(rt, ctx as never, { volumeId: a.volume_uuid, serverId: a.instance_uuid ?? null, mode: a.mode ?? null, connector: a.connector && Object.keys(a.connector).length > 0 ? a.connector : null });
      return { attachment: detail(ctx as never, row, connection) };
    },
  }),
  operation({
    id: 'attachments.list', summary: 'List attachments', method: 'GET', path: '/attachments', since: '3.27', policy: 'volume:get_all', permit: 'object', query: ListQuery, reply: List,
    handler: async ctx => { const { page, rows } = await list(rt, ctx as never, ctx.query); return { attachments: rows.map(brief), ...nextLink(ctx, 'attachments', page, rows) }; },
  }),
  operation({
    id: 'attachments.detail', summary: 'List attachments with details', method: 'GET', path: '/attachments/detail', since: '3.27', policy: 'volume:get_all', permit: 'object', query: ListQuery, reply: List,
    handler: async ctx => { const { page, rows } = await list(rt, ctx as never, ctx.query); return { attachments: rows.map(r => detail(ctx as never, r)), ...nextLink(ctx, 'attachments', page, rows) }; },
  }),
  operation({ id: 'attachments.show', summary: 'Show an attachment', method: 'GET', path: '/attachments/:attachment_id', since: '3.27', policy: 'volume:get', permit: 'object', reply: One, handler: async ctx => ({ attachment: detail(ctx as never, await show(rt, ctx as never, id(ctx))) }) }),
  operation({
    id: 'attachments.update', summary: 'Connect', method: 'PUT', path: '/attachments/:attachment_id', since: '3.27', policy: 'volume:attachment_update', permit: 'object', body: AttachmentUpdate, reply: One,
    handler: async ctx => {
      const made = await connect(rt, ctx as never, await show(rt, ctx as never, id(ctx)), ctx.body.attachment.connector);
      return { attachment: detail(ctx as never, made.row, made.connection) };
    },
  }),
  operation({
    id: 'attachments.delete', summary: 'Detach', method: 'DELETE', path: '/attachments/:attachment_id', since: '3.27', policy: 'volume:attachment_delete', permit: 'object', reply: List, status: 200,
    handler: async ctx => ({ attachments: (await remove(rt, ctx as never, id(ctx))).map(brief) }),
  }),
  operation({ id: 'attachments.complete', summary: 'Attached', method: 'POST', path: '/attachments/:attachment_id/action', action: 'os-complete', since: '3.44', policy: 'volume:attachment_complete', permit: 'object', body: Any, handler: async ctx => { await markComplete(rt, ctx as never, id(ctx)); return new Reply(204); } }),
];
