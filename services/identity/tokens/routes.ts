import type { Checked } from '@cumulet/auth';
import { transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { Forbidden, Gone } from '@cumulet/wire';
import { about } from '../asking.ts';
import { domainsOfUser, hasSystemRole, projectsOfUser } from '../assignments/effective.ts';
import { absentToken } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { links, queryText, truthOf } from '../listing.ts';
import { columns as projectColumns, type ProjectRow } from '../projects/store.ts';
import { domainView, projectView } from '../projects/view.ts';
import { Filters } from '../shapes.ts';
import { issue, position } from './issue.ts';
import { askForMore, isEnough, methodsOfReceipt } from './mfa.ts';
import { prove } from './methods.ts';
import { revocationEvents } from './revocation_events.ts';
import { Authenticate } from './schemas.ts';
import { resolveScope } from './scope.ts';
import { tokenView } from './view.ts';

export function tokenRoutes(identity: Identity): Operation[] {
  const { db } = identity;
  /** The token that is asked about, and the rule about its user. What is no token is 404 for everyone. */
  const subject = async (ctx: Context, allowExpired = false): Promise<Checked & { token: string }> => {
    const token = ctx.request.headers['x-subject-token'];
    const checked = typeof token === 'string' ? await identity.verifier.inspect(token, { allowExpired }) : undefined;
    if (!checked) throw absentToken();
    // What one who knows nothing of access rules must not take for a whole token (keystone does the same).
    if (checked.claims.ar && !(Number(ctx.request.headers['openstack-identity-access-rules']) >= 1)) throw absentToken();
    ctx.permit(about(ctx, { token: { user_id: checked.claims.u } }));
    return { ...checked, token: token as string };
  };
  const shown = async (ctx: Context) => {
    const { token, claims, caller } = await subject(ctx, truthOf(queryText(ctx.query, 'allow_expired') ?? 'false'));
    return new Reply(200, await tokenView(identity, claims, caller.roles, { catalog: !('nocatalog' in (ctx.query as object)) }), { 'x-subject-token': token });
  };
  return [
    operation({
      id: 'tokens.issue', summary: 'Log in', method: 'POST', path: '/auth/tokens', policy: { open: 'a token is what one comes for' }, body: Authenticate, query: Filters,
      async handler(ctx) {
        const { auth } = ctx.body;
        const at = await position(identity);
        const proof = await prove(identity, { identity: auth.identity, scope: auth.scope, address: ctx.request.ip });
        const methods = [...new Set([...await methodsOfReceipt(identity, ctx.request.headers['openstack-auth-receipt'], proof.user), ...proof.methods])];
        const scope = await resolveScope(identity, auth.scope, proof);
        if (!isEnough(proof.user, methods)) return askForMore(identity, proof.user, methods);
        const { token, claims } = await issue(identity, { user: proof.user, methods, scope, until: proof.until, auditChain: proof.auditChain, appCred: proof.appCred, position: at });
        return new Reply(201, await tokenView(identity, claims, claims.r ?? [], { catalog: !('nocatalog' in ctx.query) }), { 'x-subject-token': token });
      },
    }),
    operation({ id: 'tokens.show', summary: 'Validate a token', method: 'GET', path: '/auth/tokens', policy: 'identity:validate_token', permit: 'object', query: Filters, handler: shown }),
    operation({
      id: 'tokens.check', summary: 'Check a token', method: 'HEAD', path: '/auth/tokens', policy: 'identity:check_token', permit: 'object', query: Filters,
      async handler(ctx) {
        const { token } = await subject(ctx, truthOf(queryText(ctx.query, 'allow_expired') ?? 'false'));
        return new Reply(200, undefined, { 'x-subject-token': token });
      },
    }),
    operation({
      id: 'tokens.revoke', summary: 'Revoke a token', method: 'DELETE', path: '/auth/tokens', policy: 'identity:revoke_token', permit: 'object',
      async handler(ctx) {
        const { claims } = await subject(ctx);
        await transaction(db, trx => identity.revoke(trx, { kind: 'revoked', auditId: claims.a[0] }));
      },
    }),
    ...['/auth/projects', '/OS-FEDERATION/projects'].map((path, i) => operation({
      id: i === 0 ? 'auth.projects' : 'federation.projects', summary: 'List the projects that one can act in', method: 'GET', path, policy: 'identity:get_auth_projects',
      async handler(ctx) {
        const rows: ProjectRow[] = await db('projects').select(projectColumns).whereIn('id', await projectsOfUser(db, ctx.caller.userId)).orderBy('id');
        return { projects: rows.map(p => projectView(ctx, p)), links: links(ctx) };
      },
    })),
    ...['/auth/domains', '/OS-FEDERATION/domains'].map((path, i) => operation({
      id: i === 0 ? 'auth.domains' : 'federation.domains', summary: 'List the domains that one can act in', method: 'GET', path, policy: 'identity:get_auth_domains',
      async handler(ctx) {
        const rows: ProjectRow[] = await db('projects').select(projectColumns).whereIn('id', await domainsOfUser(db, ctx.caller.userId)).orderBy('id');
        return { domains: rows.map(d => domainView(ctx, d)), links: links(ctx) };
      },
    })),
    operation({
      id: 'auth.system', summary: 'Whether one can act on the system', method: 'GET', path: '/auth/system', policy: 'identity:get_auth_system',
      handler: async ctx => ({ system: await hasSystemRole(db, ctx.caller.userId) ? [{ all: true }] : [], links: { self: `${ctx.baseUrl}/v3/auth/system` } }),
    }),
    operation({
      id: 'auth.catalog', summary: 'Show the catalogue of the token', method: 'GET', path: '/auth/catalog', policy: 'identity:get_auth_catalog',
      async handler(ctx) {
        if (!ctx.caller.projectId) throw new Forbidden('You are not authorized to perform the requested action.');
        return { catalog: await identity.catalog.for({ userId: ctx.caller.trustorId ?? ctx.caller.userId, projectId: ctx.caller.projectId }), links: { self: `${ctx.baseUrl}/v3/auth/catalog` } };
      },
    }),
    operation({ id: 'tokens.revoked', summary: 'The list of revoked PKI tokens, gone with PKI', method: 'GET', path: '/auth/tokens/OS-PKI/revoked', policy: 'identity:revocation_list', handler: () => { throw new Gone('The service you have requested is no longer available on this server.'); } }),
    operation({ id: 'revocations.list', summary: 'List revocation events', method: 'GET', path: '/OS-REVOKE/events', policy: 'identity:list_revoke_events', query: Filters, handler: ctx => revocationEvents(identity, ctx) }),
  ];
}
