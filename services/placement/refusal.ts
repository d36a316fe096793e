import { operation, placementDress, type Context, type Method, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, type Micro } from '@cumulet/wire';
import type { z } from 'zod';

/**
 * Changes that placement would take from Nova and Neutron. Here the hosts themselves are the truth, so there is nothing to change. What is wrong with
 * a request anyway (somebody who is not there, a body that means nothing) is said first and as upstream says it: `look` throws that.
 */
export const refuse = (id: string, method: Method, path: string, policy: string, more: { readonly since?: Micro; readonly look?: (ctx: Context) => unknown } = {}): Operation => operation({
  id, summary: 'Refused: placement is a view of the compute hosts', method, path, policy, ...(more.since ? { since: more.since } : {}),
  handler: async ctx => {
    await more.look?.(ctx as Context);
    throw new Conflict('Resource providers, inventories and allocations of this cloud are computed from its compute hosts and servers and cannot be changed here.');
  },
});

/** The body as the schema says, or upstream's 400. Read where the policy has been asked: strangers hear of that first. */
export const read = <T>(schema: z.ZodType<T>, ctx: Context): T => readAs(schema, ctx.body ?? {});
export function readAs<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw new BadRequest(placementDress.invalid(parsed.error, input, 'body', ''));
  return parsed.data;
}
