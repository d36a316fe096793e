import { placementDress, type Context } from '@cumulet/http';
import { BadRequest, Conflict, type Shape } from '@cumulet/wire';
import type { z } from 'zod';

/** What a compute host is and what servers hold of it is compute's to say. */
export const computed = (what: string): Conflict => new Conflict(`${what} of this cloud are computed from its compute hosts and servers and cannot be changed here.`);

/** Somebody else was faster. */
export const concurrent = (message: string): Conflict => new Conflict(message, { kind: 'placement.concurrent_update' });

/** The body as the schema says, or upstream's 400. Read where the policy has been asked: strangers hear of that first. */
export const read = <T>(schema: z.ZodType<T>, ctx: Context): T => readAs(schema, ctx.body ?? {});
export function readAs<T>(schema: z.ZodType<T>, input: unknown): T {
  const parsed = schema.safeParse(input);
  if (!parsed.success) throw new BadRequest(placementDress.invalid(parsed.error, input, 'body', ''));
  return parsed.data;
}
/** The body in the caller's version of a shape; what comes out is the newest form. */
export const readShape = <S extends z.ZodType>(of: Shape<S>, ctx: Context): z.output<S> => readAs(ctx.dialect.request(of), ctx.body ?? {});
