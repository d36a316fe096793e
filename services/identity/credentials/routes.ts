import { operation, type Context, type Operation } from '@cumulet/http';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list, self } from '../listing.ts';
import { Filters } from '../shapes.ts';
import { CredentialCreate, CredentialUpdate } from './schemas.ts';
import * as service from './service.ts';
import { find, unsealed, type CredentialRow } from './store.ts';

/** What a rule sees of a credential: whose it is, not what is in it. */
const targetOf = (c: CredentialRow | undefined) => ({ credential: c ? { id: c.id, user_id: c.user_id, project_id: c.project_id, type: c.type } : {} });

export function credentialRoutes(identity: Identity): Operation[] {
  const { db, settings } = identity;
  const view = (ctx: Context, c: CredentialRow) => ({ ...c.extra, id: c.id, user_id: c.user_id, project_id: c.project_id, type: c.type, blob: unsealed(identity, c), links: self(ctx, `credentials/${c.id}`) });
  const permitted = async (ctx: Context): Promise<CredentialRow> => {
    const id = ctx.params['credential_id'] as string;
    const row = await find(db, id);
    ctx.permit(about(ctx, targetOf(row)));
    if (!row) throw absent('credential', id);
    service.refuseOutOfReach(ctx.caller, row);
    return row;
  };
  return [
    operation({
      id: 'credentials.list', summary: 'List credentials', method: 'GET', path: '/credentials', policy: 'identity:list_credentials', permit: 'object', query: Filters,
      async handler(ctx) {
        ctx.permit(about(ctx, ctx.caller.systemScope ? {} : { credential: { user_id: ctx.caller.userId } }));
        const query = db('credentials').select('credentials.*');
        // Whoever may not see another's credentials gets the own ones only (CVE-2019-19687).
        const all = ctx.allows('identity:get_credential', about(ctx, { credential: { user_id: '' } }));
        if (!all) query.where('credentials.user_id', ctx.caller.userId);
        const page = await list<CredentialRow>(ctx, query, { filters: { user_id: 'credentials.user_id', type: 'credentials.type' }, order: 'credentials.id' }, settings.http.maxLimit);
        const seen = page.rows.filter(c => ctx.allows('identity:get_credential', about(ctx, targetOf(c))) && service.reaches(ctx.caller, c));
        return { credentials: seen.map(c => view(ctx, c)), links: page.links };
      },
    }),
    operation({
      id: 'credentials.create', summary: 'Create a credential', method: 'POST', path: '/credentials', policy: 'identity:create_credential', permit: 'object', status: 201, body: CredentialCreate,
      async handler(ctx) {
        ctx.permit(about(ctx, { credential: { user_id: ctx.body.credential.user_id } }));
        return { credential: view(ctx, await service.create(identity, ctx.caller, ctx.body.credential)) };
      },
    }),
    operation({ id: 'credentials.show', summary: 'Show a credential', method: 'GET', path: '/credentials/:credential_id', policy: 'identity:get_credential', permit: 'object', handler: async ctx => ({ credential: view(ctx, await permitted(ctx)) }) }),
    operation({
      id: 'credentials.update', summary: 'Update a credential', method: 'PATCH', path: '/credentials/:credential_id', policy: 'identity:update_credential', permit: 'object', body: CredentialUpdate,
      async handler(ctx) {
        const current = await permitted(ctx);
        const { user_id } = ctx.body.credential;
        if (user_id !== undefined && user_id !== current.user_id) ctx.permit(about(ctx, { credential: { user_id } }));
        return { credential: view(ctx, await service.update(identity, ctx.caller, current, ctx.body.credential)) };
      },
    }),
    operation({ id: 'credentials.delete', summary: 'Delete a credential', method: 'DELETE', path: '/credentials/:credential_id', policy: 'identity:delete_credential', permit: 'object', async handler(ctx) { await db('credentials').where({ id: (await permitted(ctx)).id }).delete(); } }),
  ];
}
