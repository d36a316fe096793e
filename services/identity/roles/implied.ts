import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { Forbidden, NotFound } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { self } from '../listing.ts';
import { find, implies, type RoleRow } from './store.ts';
import { inferred } from './view.ts';

/** Roles that are never implied, since that would hand out everything (keystone: [assignment] prohibited_implied_role). */
const neverImplied = ['admin'];

export function impliedRoleRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  const permitted = async (ctx: Context): Promise<{ prior: RoleRow; implied: RoleRow | undefined }> => {
    const { prior_role_id, implied_role_id } = ctx.params as { prior_role_id: string; implied_role_id?: string };
    const prior = await find(db, prior_role_id);
    const implied = implied_role_id === undefined ? undefined : await find(db, implied_role_id);
    ctx.permit(about(ctx, { ...(prior ? { prior_role: prior } : {}), ...(implied ? { implied_role: implied } : {}) }));
    if (!prior) throw absent('role', prior_role_id);
    if (implied_role_id !== undefined && !implied) throw absent('role', implied_role_id);
    return { prior, implied };
  };
  const existing = async (ctx: Context) => {
    const { prior, implied } = await permitted(ctx);
    if (!(await db('implied_roles').where({ prior_role_id: prior.id, implied_role_id: implied?.id }).first('prior_role_id'))) throw new NotFound(`${prior.id} does not imply ${implied?.id}.`);
    return inference(ctx, prior, implied as RoleRow);
  };
  const inference = (ctx: Context, prior: RoleRow, implied: RoleRow) => ({ role_inference: { prior_role: inferred(ctx, prior), implies: inferred(ctx, implied) }, links: self(ctx, `roles/${prior.id}/implies/${implied.id}`) });
  const path = '/roles/:prior_role_id/implies/:implied_role_id';
  return [
    operation({
      id: 'implied_roles.list', summary: 'List the roles that a role implies', method: 'GET', path: '/roles/:prior_role_id/implies', policy: 'identity:list_implied_roles', permit: 'object',
      async handler(ctx) {
        const { prior } = await permitted(ctx);
        const rows: RoleRow[] = await db('implied_roles as i').join('roles as r', 'r.id', 'i.implied_role_id').where('i.prior_role_id', prior.id).orderBy('r.name').select('r.*');
        return { role_inference: { prior_role: inferred(ctx, prior), implies: rows.map(r => inferred(ctx, r)) }, links: self(ctx, `roles/${prior.id}/implies`) };
      },
    }),
    operation({ id: 'implied_roles.show', summary: 'Show an implied role', method: 'GET', path, policy: 'identity:get_implied_role', permit: 'object', handler: existing }),
    operation({ id: 'implied_roles.check', summary: 'Whether a role implies another', method: 'HEAD', path, policy: 'identity:check_implied_role', permit: 'object', async handler(ctx) { await existing(ctx); } }),
    operation({
      id: 'implied_roles.create', summary: 'Let a role imply another', method: 'PUT', path, policy: 'identity:create_implied_role', permit: 'object', status: 201,
      async handler(ctx) {
        const { prior, implied } = await permitted(ctx) as { prior: RoleRow; implied: RoleRow };
        if (neverImplied.includes(implied.name)) throw new Forbidden(`${implied.id} cannot be an implied roles.`);
        if (implied.domain_id !== null && prior.domain_id === null) throw new Forbidden(`${implied.id} cannot be an implied roles.`);
        if (prior.id === implied.id || await implies(db, implied.id, prior.id)) throw new Forbidden(`${implied.id} cannot be an implied roles.`);
        await transaction(db, async trx => {
          await trx('implied_roles').insert({ prior_role_id: prior.id, implied_role_id: implied.id }).onConflict().ignore();
          await identity.revoke(trx, { kind: 'roles' });
        });
        return new Reply(201, inference(ctx, prior, implied));
      },
    }),
    operation({
      id: 'implied_roles.delete', summary: 'No longer let a role imply another', method: 'DELETE', path, policy: 'identity:delete_implied_role', permit: 'object',
      async handler(ctx) {
        const { prior, implied } = await permitted(ctx);
        await transaction(db, async trx => {
          if (await trx('implied_roles').where({ prior_role_id: prior.id, implied_role_id: implied?.id }).delete() === 0) throw new NotFound(`${prior.id} does not imply ${implied?.id}.`);
          await identity.revoke(trx, { kind: 'roles' });
        });
      },
    }),
    operation({
      id: 'role_inferences.list', summary: 'List all role inferences', method: 'GET', path: '/role_inferences', policy: 'identity:list_role_inference_rules',
      async handler(ctx) {
        const rows: { prior_id: string; prior_name: string; id: string; name: string }[] = await db('implied_roles as i').join('roles as p', 'p.id', 'i.prior_role_id').join('roles as r', 'r.id', 'i.implied_role_id')
          .orderBy(['p.name', 'r.name']).select({ prior_id: 'p.id', prior_name: 'p.name', id: 'r.id', name: 'r.name' });
        const grouped = Map.groupBy(rows, r => r.prior_id);
        return { role_inferences: [...grouped].map(([priorId, implied]) => ({ prior_role: inferred(ctx, { id: priorId, name: implied[0]?.prior_name ?? '' }), implies: implied.map(r => inferred(ctx, r)) })) };
      },
    }),
  ];
}
