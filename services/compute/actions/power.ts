import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { newId, shape, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import * as p from '../plans/power.ts';
import { hostQueue, laneOf } from '../servers/row.ts';
import { sealPassword } from '../servers/secrets.ts';
import { byOf } from '../who.ts';
import { act, record, refuseLocked, refuseNowhere, refuseState, serverFor } from '../servers/act.ts';

export const path = '/servers/:server_id/action';
/** `{"pause": null}`; upstream takes anything as the value. */
export const bare = (action: string) => shape(`Action ${action}`, z.looseObject({ [action]: z.unknown().optional() }));
const Reboot = shape('Reboot', z.strictObject({ reboot: z.strictObject({ type: z.enum(['HARD', 'Hard', 'hard', 'SOFT', 'Soft', 'soft']) }) }));
const Lock = shape('Lock', z.strictObject({ lock: z.strictObject({ locked_reason: z.string().min(1).max(255).optional() }).nullable() }));
const CrashDump = shape('CrashDump', z.strictObject({ trigger_crash_dump: z.null() }));
const Password = shape('ChangePassword', z.strictObject({ changePassword: z.strictObject({ adminPass: z.string() }) }));

export const changes: Change[] = [
  // Before 2.73 whatever came with lock was ignored.
  { at: '2.73', shape: 'Lock', why: 'why a server is locked', was: () => z.looseObject({ lock: z.unknown() }), up: () => ({ lock: null }) },
];

export const routes = (c: Compute): Operation[] => {
  const simple = (id: string, action: string, policy: string, name: string, taskState: string, plan: typeof p.stopPlan) => operation({
    id: `servers.${id}`, summary: `${id} a server`, method: 'POST', path, action, policy, permit: 'object', status: 202, body: bare(action),
    handler: async (ctx): Promise<void> => { await act(c, ctx as never, { action: name, history: id, plan, taskState, prepare: (_, row) => ({ input: { serverId: row.id } }) }); },
  });
  const lock = async (ctx: Context, reason: string | null): Promise<void> => transaction(c.rt.db, async trx => {
    const row = await serverFor(ctx, trx, { lock: true });
    const by = row.project_id === ctx.caller.projectId ? 'owner' : 'admin';
    // An owner's lock does not replace the one that is there.
    if (row.locked_by !== null && by === 'owner') return;
    await trx('servers').where({ id: row.id }).update({ locked_by: by, locked_reason: reason, updated_at: trx.fn.now() });
    await record(trx, ctx, row.id, 'lock', null);
  });
  return [
    simple('start', 'os-start', 'os_compute_api:servers:start', 'start', 'powering-on', p.startPlan),
    simple('stop', 'os-stop', 'os_compute_api:servers:stop', 'stop', 'powering-off', p.stopPlan),
    simple('pause', 'pause', 'os_compute_api:os-pause-server:pause', 'pause', 'pausing', p.pausePlan),
    simple('unpause', 'unpause', 'os_compute_api:os-pause-server:unpause', 'unpause', 'unpausing', p.unpausePlan),
    simple('suspend', 'suspend', 'os_compute_api:os-suspend-server:suspend', 'suspend', 'suspending', p.suspendPlan),
    simple('resume', 'resume', 'os_compute_api:os-suspend-server:resume', 'resume', 'resuming', p.resumePlan),
    operation({
      id: 'servers.reboot', summary: 'Reboot a server', method: 'POST', path, action: 'reboot', policy: 'os_compute_api:servers:reboot', permit: 'object', status: 202, body: Reboot,
      handler: async ctx => {
        const type = ctx.body.reboot.type.toUpperCase() as 'SOFT' | 'HARD';
        await act(c, ctx as never, { action: type === 'HARD' ? 'reboot hard' : 'reboot', as: 'reboot', history: 'reboot', plan: p.rebootPlan, taskState: type === 'HARD' ? 'rebooting_hard' : 'rebooting', prepare: (_, row) => ({ input: { serverId: row.id, type } }) });
      },
    }),
    operation({
      id: 'servers.lock', summary: 'Lock a server', method: 'POST', path, action: 'lock', policy: 'os_compute_api:os-lock-server:lock', permit: 'object', status: 202, body: Lock,
      handler: ctx => lock(ctx as never, ctx.body.lock?.locked_reason ?? null),
    }),
    operation({
      id: 'servers.unlock', summary: 'Unlock a server', method: 'POST', path, action: 'unlock', policy: 'os_compute_api:os-lock-server:unlock', permit: 'object', status: 202, body: bare('unlock'),
      handler: ctx => transaction(c.rt.db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        if (row.locked_by !== null && row.locked_by !== (row.project_id === ctx.caller.projectId ? 'owner' : 'admin')) ctx.require('os_compute_api:os-lock-server:unlock:unlock_override', { project_id: row.project_id, user_id: row.user_id });
        await trx('servers').where({ id: row.id }).update({ locked_by: null, locked_reason: null, updated_at: trx.fn.now() });
        await record(trx, ctx, row.id, 'unlock', null);
      }),
    }),
    operation({
      id: 'servers.change_password', summary: 'Set the password of root by the guest\'s agent', method: 'POST', path, action: 'changePassword', policy: 'os_compute_api:os-admin-password', permit: 'object', status: 202, body: Password,
      handler: async ctx => {
        await act(c, ctx as never, {
          action: 'changePassword', history: 'changePassword', plan: p.passwordPlan, taskState: 'updating_password', lockedMessage: row => `Instance ${row.id} is in an invalid state for 'changePassword'`,
          prepare: (_, row) => ({ input: { serverId: row.id, sealed: sealPassword(c.rt.sealer, row.id, ctx.body.changePassword.adminPass) } }),
        });
      },
    }),
    operation({
      id: 'servers.crash_dump', summary: 'Crash a guest so that it dumps', method: 'POST', path, action: 'trigger_crash_dump', since: '2.17', policy: 'os_compute_api:servers:trigger_crash_dump', permit: 'object', status: 202, body: CrashDump,
      // The server rests meanwhile, as upstream has it: what a guest makes of it is its own business.
      handler: ctx => transaction(c.rt.db, async trx => {
        const row = await serverFor(ctx as never, trx, { lock: true });
        refuseLocked(ctx, row);
        refuseState(row, 'trigger_crash_dump');
        const id = newId();
        await c.rt.tasks.enqueue(trx, p.crashPlan, { serverId: row.id }, { id, queue: row.host === null ? 'any' : hostQueue(row.host), lane: laneOf(row.id), resource: { type: 'server', id: row.id }, by: byOf(ctx) });
        await record(trx, ctx as never, row.id, 'trigger_crash_dump', id);
      }),
    }),
    operation({
      id: 'servers.inject_network_info', summary: 'Write the network settings again', method: 'POST', path, action: 'injectNetworkInfo', policy: 'os_compute_api:os-admin-actions:inject_network_info', permit: 'object', status: 202, body: bare('injectNetworkInfo'),
      // Guests learn their network by DHCP and metadata: there is nothing to write, and the answer is upstream's.
      handler: async ctx => { const row = await serverFor(ctx as never, c.rt.db); refuseLocked(ctx, row); refuseNowhere(row); },
    }),
  ];
};
