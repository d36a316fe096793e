import type { Context } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest } from '@cumulet/wire';

/** Rows of a page: what was asked for, at most the setting (osapi_max_limit). `limit=0` is an empty page. */
export function pageSize(rt: Runtime, asked: string | undefined): number {
  const max = rt.settings.http.maxLimit;
  if (asked === undefined || asked === '') return max;
  if (!/^[0-9]+$/.test(asked)) throw new BadRequest(`Invalid input for query parameters limit. Value: ${asked}. '${asked}' does not match '^[0-9]*$'`);
  const n = Number(asked);
  return Math.min(n, max);
}
/** The link to the page after `marker`, with the rest of the query as it was. */
export function nextLink(ctx: Pick<Context, 'baseUrl' | 'path' | 'search'>, marker: string) {
  const query = new URLSearchParams(ctx.search);
  query.delete('marker');
  query.append('marker', marker);
  return [{ rel: 'next', href: `${ctx.baseUrl}${ctx.path}?${query.toString()}` }];
}
