import type { Context } from '@cumulet/http';
import { BadRequest } from '@cumulet/wire';

/** What a new resource has anyway: whoever gives it says nothing, as upstream sees it (dashboards send `shared: false` for members). */
const atCreation: Readonly<Record<string, unknown>> = { shared: false, 'router:external': false, is_default: false, external_gateway_info: null };

/** `create_network:shared`, `update_port:binding:host_id`: attributes that have rules of their own, asked when they are given. */
export function permitAttributes(ctx: Context, verb: string, resource: string, given: object, guarded: readonly string[], target: Record<string, unknown>): void {
  ctx.permit(target);
  for (const attribute of guarded) {
    const value = (given as Record<string, unknown>)[attribute];
    if (value === undefined || (verb === 'create' && attribute in atCreation && value === atCreation[attribute])) continue;
    ctx.require(`${verb}_${resource}:${attribute}`, target);
  }
}

/** The project that a create is for: the caller's own, or another's where the caller is an admin. */
export function projectFor(ctx: Pick<Context, 'caller' | 'allows'>, body: { project_id?: string | undefined; tenant_id?: string | undefined }, otherwise = ctx.caller.projectId ?? ''): string {
  if (body.project_id !== undefined && body.tenant_id !== undefined && body.project_id !== body.tenant_id) throw new BadRequest(`'project_id' and 'tenant_id' do not match`);
  const wanted = body.project_id ?? body.tenant_id;
  if (wanted !== undefined && wanted !== ctx.caller.projectId && !ctx.allows('context_is_admin') && !ctx.allows('context_is_advsvc')) throw new BadRequest(`Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin privileges`);
  return wanted ?? otherwise;
}
