import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { AnyQuery, fieldsOf, find, list, pick, shownTo, type Collection } from './collection.ts';

/** The two operations that every collection has alike: its list, and one of it. In words: `one` and `many` for summaries, `hidden` for what is kept from others. */
export const reading = <R extends { id: string }>(rt: Runtime, of: Collection<R>, words: { readonly path: string; readonly one: string; readonly many: string; readonly hidden: string }): Operation[] => [
  operation({
    id: `${of.plural}.list`, summary: `List ${words.many}`, method: 'GET', path: words.path, policy: { anyone: 'rows are filtered by what the caller may see' }, query: AnyQuery,
    handler: ctx => list(rt.db, ctx, of, rt.settings.http.maxLimit),
  }),
  operation({
    id: `${of.plural}.show`, summary: `Show ${words.one}`, method: 'GET', path: `${words.path}/:id`, policy: { anyone: `hidden ${words.hidden} are not found` }, query: AnyQuery,
    handler: async ctx => ({ [of.name]: pick(shownTo(ctx, of, await find(rt.db, ctx as Context, of, ctx.params['id'] ?? '')), fieldsOf(ctx.query)) }),
  }),
];
