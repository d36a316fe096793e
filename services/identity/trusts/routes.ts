import { operation, type Context, type Operation } from '@cumulet/http';
import { microsZ, orNull } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { links, queryText, self } from '../listing.ts';
import { columns as roleColumns, type RoleRow } from '../roles/store.ts';
import { roleView } from '../roles/view.ts';
import { Filters } from '../shapes.ts';
import { TrustCreate } from './schemas.ts';
import * as service from './service.ts';
import { roleIds, rows, type TrustRow } from './store.ts';

export function trustRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  const plain = (ctx: Context, t: TrustRow) => ({
    ...t.extra, id: t.id, trustor_user_id: t.trustor_user_id, trustee_user_id: t.trustee_user_id, project_id: t.project_id, impersonation: t.impersonation, expires_at: t.expires_text === null ? null : `${t.expires_text}Z`, remaining_uses: t.remaining_uses,
    deleted_at: orNull(microsZ)(t.deleted_at), redelegated_trust_id: t.redelegated_trust_id, redelegation_count: t.redelegation_count, links: self(ctx, `OS-TRUST/trusts/${t.id}`),
  });
  const rolesOf = async (ctx: Context, t: TrustRow) => {
    const found: RoleRow[] = await db('roles').select(roleColumns).whereIn('id', await roleIds(db, t.id)).orderBy('name');
    return found.map(r => roleView(ctx, r));
  };
  const rolesLinks = (ctx: Context, t: TrustRow) => ({ self: self(ctx, `OS-TRUST/trusts/${t.id}/roles`).self, next: null, previous: null });
  const whole = async (ctx: Context, t: TrustRow) => ({ ...plain(ctx, t), roles: await rolesOf(ctx, t), roles_links: rolesLinks(ctx, t) });
  /** Here what is not there is a 404 before it is a 403, as upstream has promised. */
  const permitted = async (ctx: Context): Promise<TrustRow> => {
    const trust = await service.livingTrust(identity, ctx.params['trust_id'] as string);
    ctx.permit(about(ctx, { trust }));
    service.refuseAppCred(ctx.caller);
    return trust;
  };
  return [
    operation({
      id: 'trusts.list', summary: 'List trusts', method: 'GET', path: '/OS-TRUST/trusts', policy: 'identity:list_trusts', otherPolicies: ['identity:list_trusts_for_trustor', 'identity:list_trusts_for_trustee'], permit: 'object', query: Filters,
      async handler(ctx) {
        const trustor = queryText(ctx.query, 'trustor_user_id');
        const trustee = queryText(ctx.query, 'trustee_user_id');
        if (trustor) ctx.permit(about(ctx, { trust: { trustor_user_id: trustor } }), 'identity:list_trusts_for_trustor');
        else if (trustee) ctx.permit(about(ctx, { trust: { trustee_user_id: trustee } }), 'identity:list_trusts_for_trustee');
        else ctx.permit(about(ctx));
        service.refuseAppCred(ctx.caller);
        const found: TrustRow[] = await rows(db).where(trustor ? { trustor_user_id: trustor } : trustee ? { trustee_user_id: trustee } : {}).orderBy('id');
        return { trusts: found.map(t => plain(ctx, t)), links: links(ctx) };
      },
    }),
    operation({
      id: 'trusts.create', summary: 'Create a trust', method: 'POST', path: '/OS-TRUST/trusts', policy: 'identity:create_trust', permit: 'object', status: 201, body: TrustCreate,
      async handler(ctx) {
        ctx.permit(about(ctx, { trust: { trustor_user_id: ctx.body.trust.trustor_user_id } }));
        return { trust: await whole(ctx, await service.create(identity, ctx.caller, ctx.body.trust)) };
      },
    }),
    operation({ id: 'trusts.show', summary: 'Show a trust', method: 'GET', path: '/OS-TRUST/trusts/:trust_id', policy: 'identity:get_trust', permit: 'object', handler: async ctx => ({ trust: await whole(ctx, await permitted(ctx)) }) }),
    operation({ id: 'trusts.delete', summary: 'Delete a trust', method: 'DELETE', path: '/OS-TRUST/trusts/:trust_id', policy: 'identity:delete_trust', permit: 'object', async handler(ctx) { await service.remove(identity, await permitted(ctx)); } }),
    operation({
      id: 'trusts.roles', summary: 'List the roles of a trust', method: 'GET', path: '/OS-TRUST/trusts/:trust_id/roles', policy: 'identity:list_roles_for_trust', permit: 'object',
      async handler(ctx) { const trust = await permitted(ctx); return { roles: await rolesOf(ctx, trust), links: rolesLinks(ctx, trust) }; },
    }),
    operation({
      id: 'trusts.roles.show', summary: 'Show a role of a trust', method: 'GET', path: '/OS-TRUST/trusts/:trust_id/roles/:role_id', policy: 'identity:get_role_for_trust', permit: 'object',
      async handler(ctx) {
        const role = (await rolesOf(ctx, await permitted(ctx))).find(r => r.id === ctx.params['role_id']);
        if (!role) throw absent('role', ctx.params['role_id'] as string);
        return { role };
      },
    }),
  ];
}
