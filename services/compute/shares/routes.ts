import { operation, type Operation } from '@cumulet/http';
import { Conflict, Forbidden, NotFound, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { serverFor } from '../servers/act.ts';
import { uuid } from '../servers/fields.ts';

const since = '2.97';
const Attach = shape('ShareAttach', z.strictObject({ share: z.strictObject({ share_id: uuid, tag: z.string().min(1).max(255).regex(/^[a-zA-Z0-9-]*$/).optional() }) }));

/** Shares of the file system service. There is none in this cloud, so no server has one and none can be given, in the words of a host that cannot. */
export const routes = (c: Compute): Operation[] => {
  const { db } = c.rt;
  const path = '/servers/:server_id/shares';
  const absent = (id: string | undefined) => new NotFound(`Share ${id} could not be found.`);
  return [
    operation({ id: 'server_shares.list', summary: 'Shares of a server', method: 'GET', path, since, policy: 'os_compute_api:os-server-shares:index', permit: 'object', handler: async ctx => { await serverFor(ctx as never, db); return { shares: [] }; } }),
    operation({
      id: 'server_shares.create', summary: 'Attach a share', method: 'POST', path, since, policy: 'os_compute_api:os-server-shares:create', permit: 'object', body: Attach,
      handler: async ctx => {
        const row = await serverFor(ctx as never, db);
        if (row.vm_state !== 'stopped') throw new Conflict(`Cannot 'create share' instance ${row.id} while it is in vm_state ${row.vm_state}`);
        throw new Forbidden('Feature not supported until computes have not been updated.');
      },
    }),
    operation({ id: 'server_shares.show', summary: 'One share of a server', method: 'GET', path: `${path}/:share_id`, since, policy: 'os_compute_api:os-server-shares:show', permit: 'object', handler: async ctx => { await serverFor(ctx as never, db); throw absent(ctx.params['share_id']); } }),
    operation({ id: 'server_shares.delete', summary: 'Detach a share', method: 'DELETE', path: `${path}/:share_id`, since, policy: 'os_compute_api:os-server-shares:delete', permit: 'object', handler: async ctx => { await serverFor(ctx as never, db); throw absent(ctx.params['share_id']); } }),
  ];
};
