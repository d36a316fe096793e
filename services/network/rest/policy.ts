import type { Context } from '@cumulet/http';

/** `create_network:shared`, `update_port:binding:host_id`: attributes that have rules of their own, asked when they are given. */
export function permitAttributes(ctx: Context, verb: string, resource: string, given: object, guarded: readonly string[], target: Record<string, unknown>): void {
  ctx.permit(target);
  for (const attribute of guarded) if ((given as Record<string, unknown>)[attribute] !== undefined) ctx.require(`${verb}_${resource}:${attribute}`, target);
}

/** The project that a create is for: the caller's own, or another's where the caller is an admin. */
export function projectFor(ctx: Context, body: { project_id?: string | undefined; tenant_id?: string | undefined }): string {
  return body.project_id ?? body.tenant_id ?? ctx.caller.projectId ?? '';
}
