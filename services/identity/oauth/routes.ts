import { operation, type Method, type Operation } from '@cumulet/http';
import { Gone, NotFound, NotImplemented } from '@cumulet/wire';
import { links } from '../listing.ts';

const notConfigured = (what: string) => new NotImplemented(`${what} is not configured in this cloud.`);
const none = (id: string | undefined) => new NotFound(`Could not find: ${id}.`);

/** OAuth 1 and 2 are not offered: lists are empty, the rest says so. The certificates of PKI tokens are gone upstream too. */
export function oauthRoutes(): Operation[] {
  const refused = (id: string, method: Method, path: string, policy: Operation['policy'], what = 'OAuth1') => operation({ id, summary: `Answers that ${what} is not configured`, method, path, policy, handler: () => { throw notConfigured(what); } });
  const missing = (id: string, method: Method, path: string, policy: string, param: string) => operation({ id, summary: 'None is there', method, path, policy, handler: ctx => { throw none(ctx.params[param]); } });
  const consumer = '/OS-OAUTH1/consumers/:consumer_id';
  const tokens = '/users/:user_id/OS-OAUTH1/access_tokens';
  return [
    operation({ id: 'oauth1.consumers.list', summary: 'List consumers: none', method: 'GET', path: '/OS-OAUTH1/consumers', policy: 'identity:list_consumers', handler: ctx => ({ consumers: [], links: links(ctx) }) }),
    refused('oauth1.consumers.create', 'POST', '/OS-OAUTH1/consumers', 'identity:create_consumer'),
    missing('oauth1.consumers.show', 'GET', consumer, 'identity:get_consumer', 'consumer_id'),
    missing('oauth1.consumers.update', 'PATCH', consumer, 'identity:update_consumer', 'consumer_id'),
    missing('oauth1.consumers.delete', 'DELETE', consumer, 'identity:delete_consumer', 'consumer_id'),
    refused('oauth1.request_token', 'POST', '/OS-OAUTH1/request_token', { open: 'signed by a consumer' }),
    refused('oauth1.access_token', 'POST', '/OS-OAUTH1/access_token', { open: 'signed by a consumer' }),
    missing('oauth1.authorize', 'PUT', '/OS-OAUTH1/authorize/:request_token_id', 'identity:authorize_request_token', 'request_token_id'),
    operation({ id: 'oauth1.access_tokens.list', summary: 'List access tokens: none', method: 'GET', path: tokens, policy: 'identity:list_access_tokens', handler: ctx => ({ access_tokens: [], links: links(ctx) }) }),
    missing('oauth1.access_tokens.show', 'GET', `${tokens}/:access_token_id`, 'identity:get_access_token', 'access_token_id'),
    missing('oauth1.access_tokens.delete', 'DELETE', `${tokens}/:access_token_id`, 'identity:delete_access_token', 'access_token_id'),
    missing('oauth1.access_tokens.roles', 'GET', `${tokens}/:access_token_id/roles`, 'identity:list_access_token_roles', 'access_token_id'),
    missing('oauth1.access_tokens.role', 'GET', `${tokens}/:access_token_id/roles/:role_id`, 'identity:get_access_token_role', 'access_token_id'),
    refused('oauth2.token', 'POST', '/OS-OAUTH2/token', { open: 'a login' }, 'OAuth2'),
    ...['ca', 'certificates'].map(what => operation({ id: `simple_cert.${what}`, summary: 'Certificates of PKI tokens: gone with them', method: 'GET', path: `/OS-SIMPLE-CERT/${what}`, policy: { open: 'was public' }, handler: () => { throw new Gone('The service you have requested is no longer available on this server.'); } })),
  ];
}
