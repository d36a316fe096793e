import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, parseTime } from '@cumulet/wire';
import type { Knex } from 'knex';
import { about, domainFor } from '../asking.ts';
import { projectsOfUser } from '../assignments/effective.ts';
import { absent, badTimestamp } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list, queryText } from '../listing.ts';
import { columns as projectColumns, type ProjectRow } from '../projects/store.ts';
import { projectView } from '../projects/view.ts';
import { Filters } from '../shapes.ts';
import { changeOwnPassword } from './login.ts';
import { PasswordChange, UserCreate, UserUpdate } from './schemas.ts';
import * as service from './service.ts';
import { find, users, type UserRow } from './store.ts';
import { userView } from './view.ts';

export const userListing = { filters: { name: 'users.name', domain_id: 'users.domain_id', enabled: { column: 'users.enabled', as: 'truth' } }, order: 'users.id', sorts: { name: 'users.name' } } as const;

export function userRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  const view = (ctx: Context, user: UserRow) => userView(identity, ctx, user);
  const permitted = async (ctx: Context): Promise<UserRow> => {
    const id = ctx.params['user_id'] as string;
    const user = await find(db, id);
    ctx.permit(about(ctx, { user: user ? { id: user.id, domain_id: user.domain_id, name: user.name, enabled: user.enabled } : {} }));
    if (!user) throw absent('user', id);
    return user;
  };
  return [
    operation({
      id: 'users.list', summary: 'List users', method: 'GET', path: '/users', policy: 'identity:list_users', permit: 'object', query: Filters,
      async handler(ctx) {
        const domainId = ctx.caller.domainId;
        ctx.permit(about(ctx, domainId ? { domain_id: domainId } : {}));
        const query = users(db);
        if (domainId) query.where('users.domain_id', domainId);
        // No user comes from an identity provider, so a filter for one leaves none.
        if (['idp_id', 'protocol_id', 'unique_id'].some(key => queryText(ctx.query, key) !== undefined)) query.whereRaw('false');
        filterExpiry(query, queryText(ctx.query, 'password_expires_at'));
        const found = await list<UserRow>(ctx, query, userListing, identity.settings.http.maxLimit);
        return { users: found.rows.map(u => view(ctx, u)), links: found.links, ...(found.truncated ? { truncated: true } : {}) };
      },
    }),
    operation({
      id: 'users.create', summary: 'Create a user', method: 'POST', path: '/users', policy: 'identity:create_user', permit: 'object', status: 201, body: UserCreate,
      async handler(ctx) {
        const domainId = domainFor(ctx.caller, ctx.body.user.domain_id);
        ctx.permit(about(ctx, { user: { domain_id: domainId } }));
        return { user: view(ctx, await service.create(identity, ctx.body.user, domainId)) };
      },
    }),
    operation({ id: 'users.show', summary: 'Show a user', method: 'GET', path: '/users/:user_id', policy: 'identity:get_user', permit: 'object', handler: async ctx => ({ user: view(ctx, await permitted(ctx)) }) }),
    operation({
      id: 'users.update', summary: 'Update a user', method: 'PATCH', path: '/users/:user_id', policy: 'identity:update_user', permit: 'object', body: UserUpdate,
      async handler(ctx) {
        const user = await service.update(identity, (await permitted(ctx)).id, ctx.body.user);
        return { user: { ...view(ctx, user), extra: user.extra } };
      },
    }),
    operation({ id: 'users.delete', summary: 'Delete a user', method: 'DELETE', path: '/users/:user_id', policy: 'identity:delete_user', permit: 'object', async handler(ctx) { await service.remove(identity, (await permitted(ctx)).id); } }),
    operation({
      id: 'users.password', summary: 'Change one\'s password', method: 'POST', path: '/users/:user_id/password', policy: { open: 'the old password is the proof' }, body: PasswordChange,
      async handler(ctx) { await changeOwnPassword(identity, ctx.params['user_id'] as string, { original: ctx.body.user.original_password, password: ctx.body.user.password, address: ctx.request.ip }); },
    }),
    operation({
      id: 'users.projects', summary: 'List the projects of a user', method: 'GET', path: '/users/:user_id/projects', policy: 'identity:list_user_projects', permit: 'object', query: Filters,
      async handler(ctx) {
        const user = await permitted(ctx);
        const query = db('projects').select(projectColumns).whereIn('projects.id', await projectsOfUser(db, user.id));
        const found = await list<ProjectRow>(ctx, query, { filters: { name: 'projects.name', domain_id: 'projects.domain_id', enabled: { column: 'projects.enabled', as: 'truth' } }, order: 'projects.id' }, identity.settings.http.maxLimit);
        return { projects: found.rows.map(p => projectView(ctx, p)), links: found.links };
      },
    }),
  ];
}

/** `password_expires_at=lt:2016-12-08T22:02:00Z`; without an operator, equal. */
export function filterExpiry(query: Knex.QueryBuilder, text: string | undefined): void {
  if (text === undefined) return;
  const parts = /^([a-z]{2,3}):(.*)$/.exec(text);
  const [op, stamp] = parts ? [parts[1] as string, parts[2] as string] : ['eq', text];
  const at = parseTime(stamp);
  if (!at) throw badTimestamp();
  const sign = { lt: '<', lte: '<=', gt: '>', gte: '>=', eq: '=', neq: '<>' }[op];
  if (sign === undefined) throw new BadRequest(`The given operator ${op} is not valid. It must be one of the following: 'eq', 'neq', 'lt', 'lte', 'gt', or 'gte'.`);
  query.whereRaw(`password.expires_at ${sign} ?`, [at]);
}
