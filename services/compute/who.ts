import type { Context } from '@cumulet/http';
import type { Who } from './neighbours.ts';

/** Who asks, for look-ups that hide what is not theirs. */
export const whoOf = (ctx: Pick<Context, 'caller' | 'allows'>): Who & { projectId: string } => ({ projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId, admin: ctx.allows('context_is_admin', {}) });
/** For tasks and rows: whose it is and which request made it. */
export const byOf = (ctx: Pick<Context, 'caller' | 'requestId'>) => ({ projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId, requestId: ctx.requestId });
