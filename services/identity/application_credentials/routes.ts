import { brokenReference } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { Forbidden } from '@cumulet/wire';
import { about } from '../asking.ts';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { list, self } from '../listing.ts';
import { columns as roleColumns, type RoleRow } from '../roles/store.ts';
import { Filters } from '../shapes.ts';
import { AppCredCreate } from './schemas.ts';
import * as service from './service.ts';
import { accessRulesOf, find, rows, type AppCredRow } from './store.ts';

interface RuleRow { readonly id: string; readonly user_id: string; readonly service: string; readonly method: string; readonly path: string }

export function appCredRoutes(identity: Identity): Operation[] {
  const { db, settings } = identity;
  const view = async (ctx: Context, c: AppCredRow) => {
    const roles: RoleRow[] = await db('roles').select(roleColumns).whereIn('id', db('application_credential_roles').where({ application_credential_id: c.id }).select('role_id')).orderBy('name');
    const rules = await accessRulesOf(db, c.id);
    return {
      id: c.id, name: c.name, description: c.description, user_id: c.user_id, project_id: c.project_id, system: null, expires_at: c.expires_text, unrestricted: c.unrestricted,
      roles: roles.map(r => ({ id: r.id, name: r.name, domain_id: r.domain_id, description: r.description, options: r.options })), ...(rules.length > 0 ? { access_rules: rules } : {}),
      links: self(ctx, `application_credentials/${c.id}`),
    };
  };
  /** The owner is the credential's, not the path's: the rule is asked about who owns it. */
  const permitted = async (ctx: Context): Promise<AppCredRow> => {
    const id = ctx.params['application_credential_id'] as string;
    const row = await find(db, id);
    ctx.permit({ ...about(ctx), ...(row ? { user_id: row.user_id } : {}) });
    service.refuseDelegated(ctx.caller);
    if (!row) throw absent('application credential', id);
    return row;
  };
  const permittedUser = async (ctx: Context): Promise<void> => {
    const user: { id: string; domain_id: string } | undefined = await db('users').where({ id: ctx.params['user_id'] }).first('id', 'domain_id');
    ctx.permit(about(ctx, { user: user ?? {} }));
    service.refuseDelegated(ctx.caller);
  };
  const rule = async (ctx: Context): Promise<RuleRow> => {
    await permittedUser(ctx);
    const id = ctx.params['access_rule_id'] as string;
    // Upstream looks the rule up by its id alone, so that one user could read and delete another's.
    const row: RuleRow | undefined = await db('access_rules').where({ id, user_id: ctx.params['user_id'] }).first();
    if (!row) throw absent('access rule', id);
    return row;
  };
  const ruleView = (ctx: Context, r: RuleRow) => ({ id: r.id, service: r.service, method: r.method, path: r.path, links: self(ctx, `access_rules/${r.id}`) });
  const path = '/users/:user_id/application_credentials';
  return [
    operation({
      id: 'application_credentials.list', summary: 'List application credentials', method: 'GET', path, policy: 'identity:list_application_credentials', permit: 'object', query: Filters,
      async handler(ctx) {
        ctx.permit(about(ctx));
        service.refuseDelegated(ctx.caller);
        const page = await list<AppCredRow>(ctx, rows(db).where('application_credentials.user_id', ctx.params['user_id'] as string), { filters: { name: 'application_credentials.name' }, order: 'application_credentials.id' }, settings.http.maxLimit);
        return { application_credentials: await Promise.all(page.rows.map(c => view(ctx, c))), links: page.links };
      },
    }),
    operation({
      id: 'application_credentials.create', summary: 'Create an application credential', method: 'POST', path, policy: 'identity:create_application_credential', permit: 'object', status: 201, body: AppCredCreate,
      async handler(ctx) {
        ctx.permit(about(ctx));
        const { row, secret } = await service.create(identity, ctx.caller, ctx.params['user_id'] as string, ctx.body.application_credential);
        const { links, ...shown } = await view(ctx, row);
        return { application_credential: { ...shown, secret, links } };
      },
    }),
    operation({ id: 'application_credentials.show', summary: 'Show an application credential', method: 'GET', path: `${path}/:application_credential_id`, policy: 'identity:get_application_credential', permit: 'object', handler: async ctx => ({ application_credential: await view(ctx, await permitted(ctx)) }) }),
    operation({
      id: 'application_credentials.delete', summary: 'Delete an application credential', method: 'DELETE', path: `${path}/:application_credential_id`, policy: 'identity:delete_application_credential', permit: 'object',
      async handler(ctx) {
        const row = await permitted(ctx);
        service.refuseRestricted(ctx.caller);
        await service.remove(identity, row.id);
      },
    }),
    operation({
      id: 'access_rules.list', summary: 'List access rules', method: 'GET', path: '/users/:user_id/access_rules', policy: 'identity:list_access_rules', permit: 'object', query: Filters,
      async handler(ctx) {
        await permittedUser(ctx);
        const page = await list<RuleRow>(ctx, db('access_rules').select('access_rules.*').where('access_rules.user_id', ctx.params['user_id'] as string), { filters: { service: 'access_rules.service', method: 'access_rules.method', path: 'access_rules.path' }, order: 'access_rules.id' }, settings.http.maxLimit);
        return { access_rules: page.rows.map(r => ruleView(ctx, r)), links: page.links };
      },
    }),
    operation({ id: 'access_rules.show', summary: 'Show an access rule', method: 'GET', path: '/users/:user_id/access_rules/:access_rule_id', policy: 'identity:get_access_rule', permit: 'object', handler: async ctx => ({ access_rule: ruleView(ctx, await rule(ctx)) }) }),
    operation({
      id: 'access_rules.delete', summary: 'Delete an access rule that no credential uses', method: 'DELETE', path: '/users/:user_id/access_rules/:access_rule_id', policy: 'identity:delete_access_rule', permit: 'object',
      async handler(ctx) {
        const { id } = await rule(ctx);
        try { await db('access_rules').where({ id }).delete(); } catch (error) {
          if (brokenReference(error)) throw new Forbidden('May not delete access rule in use');
          throw error;
        }
      },
    }),
  ];
}
