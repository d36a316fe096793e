import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { Conflict } from '@cumulet/wire';
import type { Compute } from '../compute.ts';
import { createServers } from './create.ts';
import { listServers } from './list.ts';
import { deleteServer } from './remove.ts';
import { fullServerFor, serverFor } from './act.ts';
import { Create, Detailed, Listed, ListQuery, Shown, Update, Updated, type ListQueryOut } from './schemas.ts';
import type { ServerRow } from './row.ts';
import { findFull, type FullServer } from './store.ts';
import { brief, detail } from './view.ts';

/** The whole view of one server. */
export async function viewOf(c: Compute, ctx: Context, row: FullServer): Promise<Record<string, unknown>> {
  const ports = await c.n.networks.ports(c.rt.db, row.ports.map(p => p.port_id));
  return detail(ctx, row, row.ports.flatMap(p => ports.get(p.port_id) ?? []), { groups: true });
}

/** A server may let go of its zone, and hold on to the one that it is in; it moves to no other by that. */
function pinned(row: ServerRow, wanted: string | null): string | null {
  if (wanted === null || wanted === row.pinned_zone) return wanted;
  if (row.pinned_zone !== null) throw new Conflict('Cannot change pinned availability zone directly. Unpin first by setting pinned_availability_zone to null.');
  if (wanted !== row.availability_zone) throw new Conflict(`Server can only be pinned to its current availability zone '${row.availability_zone}', but '${wanted}' was requested.`);
  return wanted;
}

export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  return [
    operation({
      id: 'servers.list', summary: 'List servers', method: 'GET', path: '/servers', policy: 'os_compute_api:servers:index', query: ListQuery, reply: Listed,
      handler: async ctx => { const { rows, next } = await listServers(c, ctx as unknown as Context<unknown, ListQueryOut>, { detail: false }); return { servers: rows.map(r => brief(ctx, r)), ...(next ? { servers_links: next } : {}) }; },
    }),
    operation({
      id: 'servers.detail', summary: 'List servers in detail', method: 'GET', path: '/servers/detail', policy: 'os_compute_api:servers:detail', query: ListQuery, reply: Detailed,
      handler: async ctx => {
        const { rows, ports, next } = await listServers(c, ctx as unknown as Context<unknown, ListQueryOut>, { detail: true });
        return { servers: rows.map(r => detail(ctx, r, r.ports.flatMap(p => ports.get(p.port_id) ?? []))), ...(next ? { servers_links: next } : {}) };
      },
    }),
    operation({ id: 'servers.create', summary: 'Create servers', method: 'POST', path: '/servers', policy: 'os_compute_api:servers:create', body: Create, handler: ctx => createServers(c, ctx as never) }),
    operation({ id: 'servers.create.volumes_boot', summary: 'Create servers (older name)', method: 'POST', path: '/os-volumes_boot', until: '2.102', policy: 'os_compute_api:servers:create', body: Create, handler: ctx => createServers(c, ctx as never) }),
    operation({ id: 'servers.show', summary: 'Show a server', method: 'GET', path: '/servers/:server_id', policy: 'os_compute_api:servers:show', permit: 'object', reply: Shown, handler: async ctx => ({ server: await viewOf(c, ctx, await fullServerFor(ctx, db)) }) }),
    operation({
      id: 'servers.update', summary: 'Change a server', method: 'PUT', path: '/servers/:server_id', policy: 'os_compute_api:servers:update', permit: 'object', body: Update, reply: Updated,
      handler: async ctx => {
        const s = ctx.body.server;
        const id = await transaction(db, async trx => {
          const row = await serverFor(ctx, trx, { lock: true });
          await trx('servers').where({ id: row.id }).update({
            updated_at: trx.fn.now(), ...(s.name === undefined ? {} : { name: s.name }), ...(s.description === undefined ? {} : { description: s.description }), ...(s.hostname === undefined ? {} : { hostname: s.hostname }), ...(s['OS-DCF:diskConfig'] === undefined ? {} : { disk_config: s['OS-DCF:diskConfig'] }),
            ...(s.pinned_availability_zone === undefined ? {} : { pinned_zone: pinned(row, s.pinned_availability_zone) }),
            ...(s.accessIPv4 === undefined ? {} : { access_ip_v4: s.accessIPv4 }), ...(s.accessIPv6 === undefined ? {} : { access_ip_v6: s.accessIPv6 }),
          });
          return row.id;
        });
        return { server: await viewOf(c, ctx, await findFull(db, id)) };
      },
    }),
    operation({ id: 'servers.delete', summary: 'Delete a server', method: 'DELETE', path: '/servers/:server_id', policy: 'os_compute_api:servers:delete', permit: 'object', handler: async ctx => { await deleteServer(c, ctx as never); return new Reply(204); } }),
  ];
};
