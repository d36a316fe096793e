import { brokenReference, transaction, type Trx } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import type { Fault, Shape } from '@cumulet/wire';
import type { z } from 'zod';
import { AnyQuery, fieldsOf, find, list, pick, shownTo, writtenView, writtenViews, type Collection } from './collection.ts';

interface Words {
  readonly path: string;
  /** In summaries: `a network`. */
  readonly one: string;
  readonly many: string;
}
type Body<S extends z.ZodType> = z.output<S>;

/** What the operations on a collection have alike, so that each collection says only what it does by its own rules. Policies are neutron's: `create_NAME`, `update_NAME`, `delete_NAME`. */
export function operationsOf<R extends { id: string }>(rt: Runtime, of: Collection<R>, { path, one, many }: Words) {
  const id = (verb: string) => `${of.plural}.${verb}`;
  const named = (ctx: Context) => find(rt.db, ctx, of, ctx.params['id'] ?? '');
  const permitRow = (ctx: Context, row: R) => ctx.permit(of.target(row));
  const show = operation({
    id: id('show'), summary: `Show ${one}`, method: 'GET', path: `${path}/:id`, policy: { anyone: 'what the caller may not see is not found' }, query: AnyQuery,
    handler: async ctx => ({ [of.name]: pick(shownTo(ctx, of, await named(ctx as Context)), fieldsOf(ctx.query)) }),
  });
  return {
    /** The list, and one of it; `before` runs ahead of the list. */
    reading: (before?: (ctx: Context<unknown, z.output<typeof AnyQuery.newest>>) => Promise<void>): Operation[] => [
      operation({
        id: id('list'), summary: `List ${many}`, method: 'GET', path, policy: { anyone: 'rows are filtered by what the caller may see' }, query: AnyQuery,
        handler: async ctx => {
          await before?.(ctx);
          return list(rt.db, ctx, of, rt.settings.http.maxLimit);
        },
      }),
      show,
    ],
    /**
     * All that a body asks for is made, or nothing. `insert` asks the rules, and answers with the id of each; `after` does what is done once for
     * all of them; `refused` tells of the database's errors in neutron's words.
     */
    creating: <S extends z.ZodType, B>(body: Shape<S>, o: {
      given(body: Body<S>): readonly B[]; insert(trx: Trx, ctx: Context, b: B): Promise<string>; after?(trx: Trx, bodies: readonly B[]): Promise<void>; refused?(error: unknown): unknown;
    }): Operation => operation({
      id: id('create'), summary: `Create ${one}`, method: 'POST', path, policy: `create_${of.name}`, permit: 'object', body, status: 201,
      handler: async ctx => {
        const bodies = o.given(ctx.body);
        const views = await transaction(rt.db, async trx => {
          const ids: string[] = [];
          for (const b of bodies) ids.push(await o.insert(trx, ctx as Context, b));
          await o.after?.(trx, bodies);
          return writtenViews(trx, ctx, of, ids);
        }).catch((error: unknown) => { throw o.refused?.(error) ?? error; });
        return of.plural in (ctx.body as object) ? { [of.plural]: views } : { [of.name]: views[0] };
      },
    }),
    /** `permit` asks the rules where more than the row's own is to be asked. */
    updating: <S extends z.ZodType>(body: Shape<S>, o: {
      permit?(ctx: Context, row: R, body: Body<S>): void; change(trx: Trx, ctx: Context, row: R, body: Body<S>): Promise<void>; refused?(error: unknown): unknown;
    }): Operation => operation({
      id: id('update'), summary: `Update ${one}`, method: 'PUT', path: `${path}/:id`, policy: `update_${of.name}`, permit: 'object', body,
      handler: async ctx => {
        const row = await named(ctx as Context);
        (o.permit ?? permitRow)(ctx as Context, row, ctx.body);
        const view = await transaction(rt.db, async trx => {
          await o.change(trx, ctx as Context, row, ctx.body);
          return writtenView(trx, ctx, of, row.id);
        }).catch((error: unknown) => { throw o.refused?.(error) ?? error; });
        return { [of.name]: view };
      },
    }),
    /** `inUse` is the answer when other rows still need this one. */
    deleting: (o: { permit?(ctx: Context, row: R): void; remove(trx: Trx, row: R): PromiseLike<unknown>; inUse?(row: R): Fault }): Operation => operation({
      id: id('delete'), summary: `Delete ${one}`, method: 'DELETE', path: `${path}/:id`, policy: `delete_${of.name}`, permit: 'object', status: 204,
      handler: async ctx => {
        const row = await named(ctx as Context);
        (o.permit ?? permitRow)(ctx as Context, row);
        await transaction(rt.db, async trx => { await o.remove(trx, row); }).catch((error: unknown) => { throw (brokenReference(error) === undefined ? undefined : o.inUse?.(row)) ?? error; });
        return new Reply(204);
      },
    }),
  };
}
