import { operation, type Operation } from '@cumulet/http';
import { transaction } from '@cumulet/db';
import { Conflict, newId, NotFound, shape, Unavailable, type Fault } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { consolePlan } from '../plans/console.ts';
import { serverFor } from '../servers/act.ts';
import { hostQueue } from '../servers/row.ts';
import { byOf } from '../who.ts';
import { path } from './power.ts';

const length = z.union([z.int().min(-1), z.string().regex(/^-?[0-9]+$/)]).nullable();
const Output = shape('ConsoleOutput', z.strictObject({ 'os-getConsoleOutput': z.strictObject({ length: length.optional() }) }));

export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'servers.console_output', summary: 'The end of the serial console', method: 'POST', path, action: 'os-getConsoleOutput', policy: 'os_compute_api:os-console-output', permit: 'object', body: Output,
    handler: async ctx => {
      const row = await serverFor(ctx as never, c.rt.db);
      const asked = ctx.body['os-getConsoleOutput'].length;
      const lines = asked == null || Number(asked) < 0 ? undefined : Number(asked);
      if (row.host === null || row.vm_state === 'building') throw new Conflict(`Instance ${row.id} is not ready`);
      return { output: await askHost<string>(c, ctx, row.host, row.id, { serverId: row.id, what: 'log', ...(lines === undefined ? {} : { lines }) }) };
    },
  }),
];

const patienceMs = 20_000;
/** Asks the server's host something and waits for the answer: a short task in a lane of its own, so that it does not queue behind the server's. */
export async function askHost<T>(c: Compute, ctx: Parameters<typeof byOf>[0], host: string, serverId: string, input: Parameters<typeof consolePlan.parts.input.parse>[0] & object, unsupported?: () => Fault): Promise<T> {
  const id = newId();
  await transaction(c.rt.db, trx => c.rt.tasks.enqueue(trx, consolePlan, input as never, { id, queue: hostQueue(host), lane: `ask/${id}`, resource: { type: 'server-question', id: serverId }, by: byOf(ctx) }));
  const ended = await c.rt.ends.of(id, patienceMs);
  if (typeof ended === 'object') {
    await c.rt.db('tasks').where({ id }).delete();
    if (ended.state === 'done') return ended.out['ask'] as T;
    if (ended.error?.kind === 'absent') throw new NotFound(`Instance ${serverId} could not be found on its host.`);
    if (ended.error?.kind === 'unsupported' && unsupported) throw unsupported();
    throw new Conflict(ended.error?.message ?? 'The host could not answer.');
  }
  await transaction(c.rt.db, trx => c.rt.tasks.cancel(trx, id));
  throw new Unavailable('The host of the server does not answer.', { headers: { 'retry-after': '5' } });
}
