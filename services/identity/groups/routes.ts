import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, newHexId, NotFound } from '@cumulet/wire';
import { about, domainFor } from '../asking.ts';
import { absent, duplicateName, unlessDuplicate } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list, queryText, self } from '../listing.ts';
import { findDomain } from '../projects/store.ts';
import { Filters, split } from '../shapes.ts';
import { filterExpiry, userListing } from '../users/routes.ts';
import { find as findUser, users, type UserRow } from '../users/store.ts';
import { userView } from '../users/view.ts';
import { GroupCreate, GroupUpdate } from './schemas.ts';
import { columns, find, type GroupRow } from './store.ts';

const own = ['name', 'description', 'domain_id'] as const;
const groupView = (ctx: Context, g: GroupRow) => ({ ...g.extra, id: g.id, name: g.name, domain_id: g.domain_id, description: g.description, links: self(ctx, `groups/${g.id}`) });

export function groupRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  const maxLimit = identity.settings.http.maxLimit;
  /**
   * Group and user of the path, as far as they are there, for the rule; then 404 for what is not.
   * `absentFirst`: a group that is not there is 404 to everybody (as upstream, where the rule is asked about what has been read).
   */
  const permitted = async (ctx: Context, { absentFirst = false } = {}): Promise<{ group: GroupRow; user: UserRow | undefined }> => {
    const { group_id, user_id } = ctx.params as { group_id: string; user_id?: string };
    const group = await find(db, group_id);
    if (!group && absentFirst) throw absent('group', group_id);
    const user = user_id === undefined ? undefined : await findUser(db, user_id);
    ctx.permit(about(ctx, { ...(group ? { group } : {}), ...(user ? { user: { id: user.id, domain_id: user.domain_id } } : {}) }));
    if (!group) throw absent('group', group_id);
    if (user_id !== undefined && !user) throw absent('user', user_id);
    return { group, user };
  };
  const page = async (ctx: Context, query: import('knex').Knex.QueryBuilder) => {
    const found = await list<GroupRow>(ctx, query, { filters: { name: 'groups.name', domain_id: 'groups.domain_id' }, order: 'groups.id', sorts: { name: 'groups.name' } }, maxLimit);
    return { groups: found.rows.map(g => groupView(ctx, g)), links: found.links, ...(found.truncated ? { truncated: true } : {}) };
  };
  return [
    operation({
      id: 'groups.list', summary: 'List groups', method: 'GET', path: '/groups', policy: 'identity:list_groups', permit: 'object', query: Filters,
      async handler(ctx) {
        const domainId = ctx.caller.domainId;
        ctx.permit(about(ctx, domainId ? { group: { domain_id: domainId } } : {}));
        const query = db('groups').select(columns);
        return page(ctx, domainId ? query.where('groups.domain_id', domainId) : query);
      },
    }),
    operation({
      id: 'groups.create', summary: 'Create a group', method: 'POST', path: '/groups', policy: 'identity:create_group', permit: 'object', status: 201, body: GroupCreate,
      async handler(ctx) {
        const { known, extra } = split(ctx.body.group, own);
        const domainId = domainFor(ctx.caller, known.domain_id);
        ctx.permit(about(ctx, { group: { domain_id: domainId } }));
        if (!(await findDomain(db, domainId))) throw absent('domain', domainId);
        const name = String(known.name).trim();
        const [made] = await unlessDuplicate(db('groups').insert({ id: newHexId(), domain_id: domainId, name, description: String(known.description ?? ''), extra }).returning<GroupRow[]>(columns), () => duplicateName('group', name, domainId));
        return { group: groupView(ctx, made as GroupRow) };
      },
    }),
    operation({ id: 'groups.show', summary: 'Show a group', method: 'GET', path: '/groups/:group_id', policy: 'identity:get_group', permit: 'object', handler: async ctx => ({ group: groupView(ctx, (await permitted(ctx)).group) }) }),
    operation({
      id: 'groups.update', summary: 'Update a group', method: 'PATCH', path: '/groups/:group_id', policy: 'identity:update_group', permit: 'object', body: GroupUpdate,
      async handler(ctx) {
        const { group } = await permitted(ctx);
        const { known, extra } = split(ctx.body.group, own);
        if (ctx.body.group['id'] !== undefined && ctx.body.group['id'] !== group.id) throw new BadRequest('Cannot change ID');
        if (known.domain_id !== undefined && known.domain_id !== group.domain_id) throw new BadRequest('Cannot change Domain ID');
        const name = known.name === undefined ? group.name : String(known.name).trim();
        const change = { name, ...(known.description === undefined ? {} : { description: String(known.description ?? '') }), extra: { ...group.extra, ...extra } };
        const [made] = await unlessDuplicate(db('groups').where({ id: group.id }).update(change).returning<GroupRow[]>(columns), () => duplicateName('group', name, group.domain_id));
        if (!made) throw absent('group', group.id);
        return { group: groupView(ctx, made) };
      },
    }),
    operation({
      id: 'groups.delete', summary: 'Delete a group', method: 'DELETE', path: '/groups/:group_id', policy: 'identity:delete_group', permit: 'object',
      async handler(ctx) {
        const { group } = await permitted(ctx, { absentFirst: true });
        await transaction(db, async trx => {
          const members: string[] = await trx('group_members').where({ group_id: group.id }).pluck('user_id');
          const granted = await trx('role_assignments').where({ group_id: group.id }).first('role_id');
          await trx('groups').where({ id: group.id }).delete();
          if (granted) for (const userId of members) await identity.revoke(trx, { kind: 'roles', userId });
        });
      },
    }),
    operation({
      id: 'groups.users', summary: 'List the users of a group', method: 'GET', path: '/groups/:group_id/users', policy: 'identity:list_users_in_group', permit: 'object', query: Filters,
      async handler(ctx) {
        const { group } = await permitted(ctx);
        const query = users(db).whereIn('users.id', db('group_members').where({ group_id: group.id }).select('user_id'));
        if (ctx.caller.domainId) query.where('users.domain_id', ctx.caller.domainId);
        filterExpiry(query, queryText(ctx.query, 'password_expires_at'));
        const found = await list<UserRow>(ctx, query, userListing, maxLimit);
        return { users: found.rows.map(u => userView(identity, ctx, u)), links: found.links, ...(found.truncated ? { truncated: true } : {}) };
      },
    }),
    operation({
      id: 'groups.users.check', summary: 'Whether a user is in a group', method: 'GET', path: '/groups/:group_id/users/:user_id', policy: 'identity:check_user_in_group', permit: 'object',
      async handler(ctx) {
        const { group, user } = await permitted(ctx);
        if (!(await db('group_members').where({ group_id: group.id, user_id: user?.id }).first('user_id'))) throw new NotFound(`User '${user?.id}' not found in group '${group.id}'`);
      },
    }),
    operation({
      id: 'groups.users.add', summary: 'Add a user to a group', method: 'PUT', path: '/groups/:group_id/users/:user_id', policy: 'identity:add_user_to_group', permit: 'object',
      async handler(ctx) {
        const { group, user } = await permitted(ctx);
        await transaction(db, async trx => {
          await trx('group_members').insert({ group_id: group.id, user_id: user?.id }).onConflict().ignore();
          await identity.revoke(trx, { kind: 'roles', userId: user?.id });
        });
      },
    }),
    operation({
      id: 'groups.users.remove', summary: 'Remove a user from a group', method: 'DELETE', path: '/groups/:group_id/users/:user_id', policy: 'identity:remove_user_from_group', permit: 'object',
      async handler(ctx) {
        const { group, user } = await permitted(ctx);
        await transaction(db, async trx => {
          if (await trx('group_members').where({ group_id: group.id, user_id: user?.id }).delete() === 0) throw new NotFound(`User '${user?.id}' not found in group '${group.id}'`);
          await identity.revoke(trx, { kind: 'roles', userId: user?.id });
        });
      },
    }),
    operation({
      id: 'users.groups', summary: 'List the groups of a user', method: 'GET', path: '/users/:user_id/groups', policy: 'identity:list_groups_for_user', permit: 'object', query: Filters,
      async handler(ctx) {
        const id = ctx.params['user_id'] as string;
        const user = await findUser(db, id);
        ctx.permit(about(ctx, { user: user ? { id: user.id, domain_id: user.domain_id } : {} }));
        if (!user) throw absent('user', id);
        const query = db('groups').select(columns).whereIn('groups.id', db('group_members').where({ user_id: id }).select('group_id'));
        return page(ctx, ctx.caller.domainId ? query.where('groups.domain_id', ctx.caller.domainId) : query);
      },
    }),
  ];
}
