import type { Caller } from '@cumulet/auth';
import type { Context, Target } from '@cumulet/http';

/**
 * What a rule looks at: path parameters by their names (`user_id:%(user_id)s`) and rows below `target` (`target.user.domain_id`).
 * Nothing of a body or a query, save the domain that a thing is about to be created in, which its service has settled by then.
 */
export const about = (ctx: Context, target: Target = {}): Target => ({ ...ctx.params, target });

/** The domain of a new user, group or project that names none: the token's, else the default one (keystone's own rule). */
export const domainFor = (caller: Caller, given: unknown): string => (typeof given === 'string' && given !== '' ? given : caller.domainId ?? 'default');

/** Issued from a trust, an application credential, or another delegation: it may not widen what it was given. */
export const isDelegated = (caller: Caller): boolean => caller.trustId !== undefined || caller.appCredId !== undefined;
