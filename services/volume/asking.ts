import type { Context } from '@cumulet/http';
import type { By } from './for_compute.ts';

/** The project to whose rows a caller is bound; undefined for those who see everything. */
export const boundTo = (ctx: Pick<Context, 'allows' | 'caller'>): string | undefined => (ctx.allows('context_is_admin') ? undefined : ctx.caller.projectId ?? '');
/** Whose task it is. */
export const by = (ctx: Pick<Context, 'caller' | 'requestId'>): By => ({ projectId: ctx.caller.projectId, userId: ctx.caller.userId, requestId: ctx.requestId });
/** Facts of a row that policy rules look at. */
export const target = (row: { project_id: string; user_id?: string | null }) => ({ project_id: row.project_id, user_id: row.user_id ?? undefined });

/** Finds and permits in one breath: what the caller may not see is not there; what it sees it may still not be allowed to change. */
export function found<R extends { project_id: string; user_id?: string | null }>(ctx: Context, row: R | undefined, absent: () => Error): R {
  const bound = boundTo(ctx);
  if (!row || (bound !== undefined && row.project_id !== bound)) throw absent();
  ctx.permit(target(row));
  return row;
}
