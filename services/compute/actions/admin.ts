import { overLimit, transaction } from '@cumulet/db';
import { operation, Reply, type Operation } from '@cumulet/http';
import { Forbidden, shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { restorePlan } from '../plans/soft_delete.ts';
import { defaults } from '../quotas/limits.ts';
import { act, record, serverFor } from '../servers/act.ts';
import { deleteServer } from '../servers/remove.ts';
import { laneOf } from '../servers/row.ts';
import { bare, path } from './power.ts';

const Reset = shape('ResetState', z.strictObject({ 'os-resetState': z.strictObject({ state: z.enum(['active', 'error']) }) }));

export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'servers.reset_state', summary: 'Say what a server is', method: 'POST', path, action: 'os-resetState', policy: 'os_compute_api:os-admin-actions:reset_state', permit: 'object', status: 202, body: Reset,
    handler: ctx => transaction(c.rt.db, async trx => {
      const row = await serverFor(ctx as never, trx, { lock: true });
      const { state } = ctx.body['os-resetState'];
      // Whatever is at work is told to stop; it no longer has a say in what the server is.
      await c.rt.tasks.supersede(trx, laneOf(row.id));
      await trx('servers').where({ id: row.id }).update({ vm_state: state, task_state: null, task_id: null, updated_at: trx.fn.now() });
      await record(trx, ctx, row.id, 'resetState', null);
    }),
  }),
  operation({ id: 'servers.force_delete', summary: 'Delete at once', method: 'POST', path, action: 'forceDelete', policy: 'os_compute_api:os-deferred-delete:force', permit: 'object', body: bare('forceDelete'), handler: async ctx => { await deleteServer(c, ctx as never, 'forceDelete'); return new Reply(202); } }),
  operation({
    id: 'servers.restore', summary: 'Bring a soft-deleted server back', method: 'POST', path, action: 'restore', policy: 'os_compute_api:os-deferred-delete:restore', permit: 'object', body: bare('restore'),
    handler: async ctx => {
      await act(c, ctx as never, {
        action: 'restore', history: 'restore', plan: restorePlan, taskState: 'restoring',
        prepare: async (trx, row) => {
          // It counts again from now on.
          await trx('servers').where({ id: row.id }).update({ vm_state: 'stopped' });
          const over = await overLimit(trx, 'compute', row.project_id, ['cores', 'instances', 'ram'], defaults);
          if (over) throw new Forbidden(`Quota exceeded, too many servers`);
          return { input: { serverId: row.id } };
        },
      });
      return new Reply(202);
    },
  }),
];
