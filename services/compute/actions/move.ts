import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, shape, type Change } from '@cumulet/wire';
import type { Knex } from 'knex';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { evacuatePlan } from '../plans/evacuate.ts';
import { livePlan } from '../plans/live.ts';
import { movePlan, type Resting } from '../plans/move.ts';
import { candidates } from '../scheduler/claim.ts';
import { destination, type Kind } from '../scheduler/destination.ts';
import { act, refuseDown } from '../servers/act.ts';
import { adminPass, boolean, hostName } from '../servers/fields.ts';
import { newPassword } from '../servers/names.ts';
import type { ServerRow } from '../servers/row.ts';
import { downAfterSeconds } from '../servers/store.ts';
import { path } from './power.ts';

const host = hostName.nullable();
const Migrate = shape('Migrate', z.strictObject({ migrate: z.strictObject({ host: host.optional() }).nullable() }));
const Live = shape('MigrateLive', z.strictObject({ 'os-migrateLive': z.strictObject({ host, block_migration: z.union([boolean, z.literal('auto')]) }) }));
const Evacuate = shape('Evacuate', z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), adminPass: adminPass.optional() }) }));
const liveBefore = (more: z.ZodRawShape, block: z.ZodType = z.union([boolean, z.literal('auto')])) => z.strictObject({ 'os-migrateLive': z.strictObject({ host, block_migration: block, ...more }) });
export const changes: Change[] = [
  { at: '2.56', shape: 'Migrate', why: 'a cold migration may name its host', was: () => z.looseObject({ migrate: z.unknown() }), up: () => ({ migrate: null }) },
  { at: '2.14', shape: 'Evacuate', why: 'shared storage is found out, not said', was: () => z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), onSharedStorage: boolean, adminPass: adminPass.optional() }) }), up: (b: { evacuate: { host?: string; adminPass?: string } }) => ({ evacuate: { ...(b.evacuate.host === undefined ? {} : { host: b.evacuate.host }), ...(b.evacuate.adminPass === undefined ? {} : { adminPass: b.evacuate.adminPass }) } }) },
  { at: '2.14', trait: 'no password after evacuation', why: 'evacuation does not answer with a password' },
  { at: '2.29', shape: 'Evacuate', why: 'force, until it is gone again in 2.68', was: () => z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), adminPass: adminPass.optional() }) }) },
  { at: '2.68', shape: 'Evacuate', why: 'force is gone', was: () => z.strictObject({ evacuate: z.strictObject({ host: hostName.optional(), adminPass: adminPass.optional(), force: boolean.optional() }) }), up: (b: { evacuate: Record<string, unknown> }) => { const { force: _, ...rest } = b.evacuate; return { evacuate: rest }; } },
  { at: '2.25', shape: 'MigrateLive', why: 'auto, and no more disk over-commitment', was: () => liveBefore({ disk_over_commit: boolean }, boolean), up: (b: { 'os-migrateLive': Record<string, unknown> }) => { const { disk_over_commit: _, ...rest } = b['os-migrateLive']; return { 'os-migrateLive': rest }; } },
  { at: '2.30', shape: 'MigrateLive', why: 'force, until it is gone again in 2.68', was: () => liveBefore({}) },
  { at: '2.95', trait: 'evacuated servers stay stopped', why: 'an evacuated server waits, stopped, for its user' },
  // Before 2.68 force went round the scheduler; here the scheduler is asked all the same, so that no host is promised twice.
  { at: '2.68', shape: 'MigrateLive', why: 'force is gone', was: () => liveBefore({ force: boolean.optional() }), up: (b: { 'os-migrateLive': Record<string, unknown> }) => { const { force: _, ...rest } = b['os-migrateLive']; return { 'os-migrateLive': rest }; } },
];

export const routes = (c: Compute): Operation[] => {
  const journey = async (ctx: Context, trx: Knex.Transaction, row: ServerRow, task: string, o: { kind: Kind; to: string | undefined }) => {
    const { queue, to: _, ...there } = await destination(c, ctx, trx, row, task, o);
    return { input: { serverId: row.id, ...there, former: (row.vm_state === 'error' ? 'active' : row.vm_state) as Resting }, queue };
  };
  return [
    operation({
      id: 'servers.migrate', summary: 'Move a server to another host, stopped', method: 'POST', path, action: 'migrate', policy: 'os_compute_api:os-migrate-server:migrate', permit: 'object', status: 202, body: Migrate,
      handler: async ctx => {
        const to = ctx.body.migrate?.host ?? undefined;
        if (to !== undefined) ctx.require('os_compute_api:os-migrate-server:migrate:host', {});
        await act(c, ctx as never, { action: 'migrate', history: 'migrate', plan: movePlan, taskState: 'resize_prep', prepare: async (trx, row, task) => { await refuseDown(trx, row); return journey(ctx as never, trx, row, task, { kind: 'cold', to }); } });
      },
    }),
    operation({
      id: 'servers.live_migrate', summary: 'Move a running server', method: 'POST', path, action: 'os-migrateLive', policy: 'os_compute_api:os-migrate-server:migrate_live', permit: 'object', status: 202, body: Live,
      handler: async ctx => {
        const to = ctx.body['os-migrateLive'].host ?? undefined;
        if (to !== undefined) ctx.require('os_compute_api:os-migrate-server:migrate_live:host', {});
        await act(c, ctx as never, { action: 'os-migrateLive', history: 'live-migration', plan: livePlan, taskState: 'migrating', prepare: (trx, row, task) => journey(ctx as never, trx, row, task, { kind: 'live', to}) });
      },
    }),
    operation({
      id: 'servers.evacuate', summary: 'Bring a server of a dead host up elsewhere', method: 'POST', path, action: 'evacuate', policy: 'os_compute_api:os-evacuate', permit: 'object', body: Evacuate,
      handler: async ctx => {
        await act(c, ctx as never, {
          action: 'evacuate', history: 'evacuate', plan: evacuatePlan, taskState: 'rebuilding',
          prepare: async (trx, row, task) => {
            const known = (await candidates(trx, c.rt.settings.compute.scheduler)).find(h => h.host === row.host);
            if (known && !known.forced_down && known.age < downAfterSeconds) throw new BadRequest(`Compute service of ${row.host} is still in use.`);
            const made = await journey(ctx as never, trx, row, task, { kind: 'evacuate', to: ctx.body.evacuate.host });
            return { ...made, input: { ...made.input, stay: ctx.dialect.has('evacuated servers stay stopped') } };
          },
        });
        return ctx.dialect.has('no password after evacuation') ? {} : { adminPass: ctx.body.evacuate.adminPass ?? newPassword() };
      },
    }),
  ];
};
