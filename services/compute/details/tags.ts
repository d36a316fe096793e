import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { BadRequest, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { refuseState, serverFor } from '../servers/act.ts';
import { tag as tagShape, tags } from '../servers/fields.ts';

const Tags = shape('ServerTags', z.strictObject({ tags }));
const path = '/servers/:server_id/tags';
const since = '2.26';
const max = 50;

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const change = <T>(ctx: Context, verb: string, edit: (now: string[]) => { tags: string[]; reply: T }) => transaction(db, async trx => {
    const row = await serverFor(ctx, trx, { lock: true });
    refuseState(row, verb, verb, { launched: false });
    const { tags: next, reply } = edit(row.tags);
    await trx('servers').where({ id: row.id }).update({ tags: [...new Set(next)].toSorted(), updated_at: trx.fn.now() });
    return reply;
  });
  const missing = (ctx: Context) => new NotFound(`Server ${ctx.params['server_id']} has no tag '${ctx.params['tag']}'`);
  return [
    operation({ id: 'server_tags.list', summary: 'Tags of a server', method: 'GET', path, since, policy: 'os_compute_api:os-server-tags:index', permit: 'object', handler: async ctx => ({ tags: (await serverFor(ctx as never, db)).tags }) }),
    operation({ id: 'server_tags.replace', summary: 'Replace the tags', method: 'PUT', path, since, policy: 'os_compute_api:os-server-tags:update_all', permit: 'object', body: Tags, handler: ctx => change(ctx as never, 'update tags', () => ({ tags: ctx.body.tags, reply: { tags: [...new Set(ctx.body.tags)] } })) }),
    operation({ id: 'server_tags.clear', summary: 'Remove all tags', method: 'DELETE', path, since, policy: 'os_compute_api:os-server-tags:delete_all', permit: 'object', handler: ctx => change(ctx as never, 'delete tags', () => ({ tags: [], reply: new Reply(204) })) }),
    operation({ id: 'server_tags.show', summary: 'Whether a server has a tag', method: 'GET', path: `${path}/:tag`, since, policy: 'os_compute_api:os-server-tags:show', permit: 'object', handler: async ctx => { if (!(await serverFor(ctx as never, db)).tags.includes(ctx.params['tag'] ?? '')) throw missing(ctx as never); return new Reply(204); } }),
    operation({
      id: 'server_tags.add', summary: 'Add a tag', method: 'PUT', path: `${path}/:tag`, since, policy: 'os_compute_api:os-server-tags:update', permit: 'object',
      handler: ctx => change(ctx as never, 'update tag', now => {
        const tag = ctx.params['tag'] ?? '';
        if (!tagShape.safeParse(tag).success) throw new BadRequest(`Tag '${tag}' is invalid. ${tag.length > 60 ? `'${tag}' is too long` : 'It must be a string without characters \'/\' and \',\''}`);
        if (now.includes(tag)) return { tags: now, reply: new Reply(204) };
        if (now.length >= max) throw new BadRequest(`The number of tags exceeded the per-server limit ${max}`);
        return { tags: [...now, tag], reply: new Reply(201, undefined, { location: `${ctx.baseUrl}/v2.1/servers/${ctx.params['server_id']}/tags/${encodeURIComponent(tag)}` }) };
      }),
    }),
    operation({ id: 'server_tags.delete', summary: 'Remove a tag', method: 'DELETE', path: `${path}/:tag`, since, policy: 'os_compute_api:os-server-tags:delete', permit: 'object', handler: ctx => change(ctx as never, 'delete tag', now => { const tag = ctx.params['tag'] ?? ''; if (!now.includes(tag)) throw missing(ctx as never); return { tags: now.filter(t => t !== tag), reply: new Reply(204) }; }) }),
  ];
};
