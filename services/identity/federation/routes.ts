import { operation, type Method, type Operation } from '@cumulet/http';
import { NotImplemented, type NotFound } from '@cumulet/wire';
import { absent } from '../faults.ts';
import { links } from '../listing.ts';

/** No identity provider is configured in this cloud: lists are empty, nothing can be found, and nothing can be set up. */
const notConfigured = () => new NotImplemented('Federation is not configured in this cloud.');

interface Collection { readonly name: string; readonly path: string; readonly rule: string; readonly param: string; readonly missing: (id: string) => NotFound }
const collections: readonly Collection[] = [
  { name: 'identity_providers', path: '/OS-FEDERATION/identity_providers', rule: 'identity_provider', param: 'idp_id', missing: id => absent('identity provider', id) },
  { name: 'mappings', path: '/OS-FEDERATION/mappings', rule: 'mapping', param: 'mapping_id', missing: id => absent('mapping', id) },
  { name: 'service_providers', path: '/OS-FEDERATION/service_providers', rule: 'service_provider', param: 'service_provider_id', missing: id => absent('service provider', id) },
];

export function federationRoutes(): Operation[] {
  const protocols = '/OS-FEDERATION/identity_providers/:idp_id/protocols';
  const refused = (id: string, method: Method, path: string, policy: Operation['policy']) => operation({ id, summary: 'Answers that federation is not configured', method, path, policy, handler: () => { throw notConfigured(); } });
  return [
    ...collections.flatMap(c => {
      const one = `${c.path}/:${c.param}`;
      return [
        operation({ id: `federation.${c.name}.list`, summary: `List ${c.name.replaceAll('_', ' ')}: none`, method: 'GET', path: c.path, policy: `identity:list_${c.rule}s`, handler: ctx => ({ [c.name]: [], links: links(ctx) }) }),
        operation({ id: `federation.${c.name}.show`, summary: `Show one of the ${c.name.replaceAll('_', ' ')}: none is there`, method: 'GET', path: one, policy: `identity:get_${c.rule}`, handler: ctx => { throw c.missing(ctx.params[c.param] as string); } }),
        refused(`federation.${c.name}.create`, 'PUT', one, `identity:create_${c.rule}`),
        operation({ id: `federation.${c.name}.update`, summary: `Update one of the ${c.name.replaceAll('_', ' ')}: none is there`, method: 'PATCH', path: one, policy: `identity:update_${c.rule}`, handler: ctx => { throw c.missing(ctx.params[c.param] as string); } }),
        operation({ id: `federation.${c.name}.delete`, summary: `Delete one of the ${c.name.replaceAll('_', ' ')}: none is there`, method: 'DELETE', path: one, policy: `identity:delete_${c.rule}`, handler: ctx => { throw c.missing(ctx.params[c.param] as string); } }),
      ];
    }),
    operation({ id: 'federation.protocols.list', summary: 'List protocols: none', method: 'GET', path: protocols, policy: 'identity:list_protocols', handler: ctx => { throw absent('identity provider', ctx.params['idp_id'] as string); } }),
    ...(['GET', 'PATCH', 'DELETE'] as const).map(method => operation({
      id: `federation.protocols.${{ GET: 'show', PATCH: 'update', DELETE: 'delete' }[method]}`, summary: 'One of the protocols: none is there', method, path: `${protocols}/:protocol_id`, policy: `identity:${{ GET: 'get', PATCH: 'update', DELETE: 'delete' }[method]}_protocol`,
      handler: ctx => { throw absent('identity provider', ctx.params['idp_id'] as string); },
    })),
    refused('federation.protocols.create', 'PUT', `${protocols}/:protocol_id`, 'identity:create_protocol'),
    // Where other clouds log people in by their identity provider.
    ...(['GET', 'POST'] as const).flatMap(method => [
      refused(`federation.auth.${method.toLowerCase()}`, method, '/OS-FEDERATION/identity_providers/:idp_id/protocols/:protocol_id/auth', { open: 'a login' }),
      refused(`federation.websso.${method.toLowerCase()}`, method, '/auth/OS-FEDERATION/websso/:protocol_id', { open: 'a login' }),
      refused(`federation.websso_of_provider.${method.toLowerCase()}`, method, '/auth/OS-FEDERATION/identity_providers/:idp_id/protocols/:protocol_id/websso', { open: 'a login' }),
    ]),
    refused('federation.saml2', 'POST', '/auth/OS-FEDERATION/saml2', { open: 'a login' }),
    refused('federation.saml2.ecp', 'POST', '/auth/OS-FEDERATION/saml2/ecp', { open: 'a login' }),
    refused('federation.saml2.metadata', 'GET', '/OS-FEDERATION/saml2/metadata', { open: 'public metadata' }),
  ];
}
