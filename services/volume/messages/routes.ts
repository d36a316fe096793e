import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { isUuid, micros, NotFound, shape } from '@cumulet/wire';
import { found } from '../asking.ts';
import { anyQuery, links, nextLink, paged, readPage } from '../listing.ts';
import { allowedFilters, timeFilter } from '../volumes/filters.ts';

interface MessageRow { id: string; project_id: string; request_id: string | null; resource_type: string; resource_uuid: string; event_id: string; user_message: string; message_level: string; expires_at: Date; created_at: Date }
const ListQuery = shape('MessageQuery', anyQuery);
const columns = { id: 'id', event_id: 'event_id', resource_uuid: 'resource_uuid', resource_type: 'resource_type', request_id: 'request_id', message_level: 'message_level', created_at: 'created_at', guaranteed_until: 'expires_at' };
const absent = (id: string) => new NotFound(`Message ${id} could not be found.`);
const view = (ctx: Context, m: MessageRow) => ({
  id: m.id, event_id: m.event_id, user_message: m.user_message, message_level: m.message_level, created_at: micros(m.created_at), guaranteed_until: micros(m.expires_at), request_id: m.request_id, links: links(ctx, 'messages', m.id), resource_type: m.resource_type, resource_uuid: m.resource_uuid,
});

/** Why something did not work, for the users whose it is (3.3). */
export const routes = (rt: Runtime): Operation[] => {
  const one = async (ctx: Context): Promise<MessageRow> => { const id = ctx.params['message_id'] ?? ''; return found<MessageRow>(ctx, isUuid(id) ? await rt.db('volume_messages').where({ id }).first() : undefined, () => absent(id)); };
  return [
    operation({
      id: 'messages.list', summary: 'List messages', method: 'GET', path: '/messages', since: '3.3', policy: 'message:get_all', query: ListQuery,
      handler: async c => {
        const ctx = c as never as Context;
        const of = { columns, maxLimit: rt.settings.http.maxLimit };
        const page = readPage(ctx, ctx.dialect.has('message paging') ? c.query : {}, of);
        const q = rt.db('volume_messages').select('volume_messages.*').where('project_id', ctx.caller.projectId ?? '');
        for (const [key, value] of Object.entries(allowedFilters(ctx, page.filters, ['resource_uuid', 'resource_type', 'event_id', 'request_id', 'message_level']))) {
          const like = key.endsWith('~');
          const column = (columns as Record<string, string>)[like ? key.slice(0, -1) : key];
          if (column === 'created_at' || column === 'expires_at') timeFilter(ctx, q, column, value);
          else if (column === undefined || (['id', 'resource_uuid'].includes(column) && !isUuid(value))) q.whereRaw('false');
          else if (like && !['id', 'resource_uuid'].includes(column)) q.whereILike(column, `%${value.replaceAll(/[\\%_]/g, c => `\\${c}`)}%`);
          else q.where(column, value);
        }
        const rows = await paged(rt.db, q, page, 'volume_messages', of, absent) as unknown as MessageRow[];
        return { messages: rows.map(m => view(ctx, m)), ...nextLink(ctx, 'messages', page, rows) };
      },
    }),
    operation({ id: 'messages.show', summary: 'Show a message', method: 'GET', path: '/messages/:message_id', since: '3.3', policy: 'message:get', permit: 'object', handler: async c => ({ message: view(c as never, await one(c as never)) }) }),
    operation({ id: 'messages.delete', summary: 'Delete a message', method: 'DELETE', path: '/messages/:message_id', since: '3.3', policy: 'message:delete', permit: 'object', handler: async c => { await rt.db('volume_messages').where({ id: (await one(c as never)).id }).delete(); return new Reply(204); } }),
  ];
};
