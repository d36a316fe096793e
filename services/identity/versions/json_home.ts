import type { Operation } from '@cumulet/http';

const base = 'https://docs.openstack.org/api/openstack-identity/3';

/** How keystone names its resources to machines, by extension and version (none: of Identity itself), and where each is. */
const relations: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '': {
    auth_tokens: '/auth/tokens', auth_catalog: '/auth/catalog', auth_projects: '/auth/projects', auth_domains: '/auth/domains', auth_system: '/auth/system', credential: '/credentials/:credential_id',
    credentials: '/credentials', system_user_role: '/system/users/:user_id/roles/:role_id', system_user_roles: '/system/users/:user_id/roles',
    system_group_role: '/system/groups/:group_id/roles/:role_id', system_group_roles: '/system/groups/:group_id/roles', domain: '/domains/:domain_id',
    domain_group_role: '/domains/:domain_id/groups/:group_id/roles/:role_id', domain_group_roles: '/domains/:domain_id/groups/:group_id/roles',
    domain_user_role: '/domains/:domain_id/users/:user_id/roles/:role_id', domain_user_roles: '/domains/:domain_id/users/:user_id/roles', domains: '/domains', endpoint: '/endpoints/:endpoint_id',
    endpoints: '/endpoints', group: '/groups/:group_id', group_user: '/groups/:group_id/users/:user_id', group_users: '/groups/:group_id/users', groups: '/groups', policies: '/policies',
    policy: '/policies/:policy_id', project: '/projects/:project_id', project_group_role: '/projects/:project_id/groups/:group_id/roles/:role_id',
    project_group_roles: '/projects/:project_id/groups/:group_id/roles', project_tags: '/projects/:project_id/tags/:value', project_user_role: '/projects/:project_id/users/:user_id/roles/:role_id',
    project_user_roles: '/projects/:project_id/users/:user_id/roles', projects: '/projects', region: '/regions/:region_id', regions: '/regions', role: '/roles/:role_id',
    implied_roles: '/roles/:prior_role_id/implies', implied_role: '/roles/:prior_role_id/implies/:implied_role_id', role_inferences: '/role_inferences', role_assignments: '/role_assignments',
    roles: '/roles', service: '/services/:service_id', services: '/services', user: '/users/:user_id', user_change_password: '/users/:user_id/password', user_groups: '/users/:user_id/groups',
    user_projects: '/users/:user_id/projects', users: '/users', domain_config: '/domains/:domain_id/config', domain_config_group: '/domains/:domain_id/config/:group',
    domain_config_option: '/domains/:domain_id/config/:group/:option', domain_config_default: '/domains/config/default', domain_config_default_group: '/domains/config/:group/default',
    domain_config_default_option: '/domains/config/:group/:option/default', registered_limits: '/registered_limits', registered_limit: '/registered_limits/:registered_limit_id', limits: '/limits',
    limit: '/limits/:limit_id', limit_model: '/limits/model', application_credentials: '/users/:user_id/application_credentials',
    application_credential: '/users/:user_id/application_credentials/:application_credential_id', access_rules: '/users/:user_id/access_rules',
    access_rule: '/users/:user_id/access_rules/:access_rule_id',
  },
  'OS-EC2/1.0': {
    ec2tokens: '/ec2tokens', user_credential: '/users/:user_id/credentials/OS-EC2/:credential_id', user_credentials: '/users/:user_id/credentials/OS-EC2',
  },
  'OS-REVOKE/1.0': {
    events: '/OS-REVOKE/events',
  },
  'OS-TRUST/1.0': {
    trust: '/OS-TRUST/trusts/:trust_id', trust_role: '/OS-TRUST/trusts/:trust_id/roles/:role_id', trust_roles: '/OS-TRUST/trusts/:trust_id/roles', trusts: '/OS-TRUST/trusts',
  },
  's3tokens/1.0': {
    s3tokens: '/s3tokens',
  },
  'OS-ENDPOINT-POLICY/1.0': {
    endpoint_policy: '/endpoints/:endpoint_id/OS-ENDPOINT-POLICY/policy', endpoint_policy_association: '/policies/:policy_id/OS-ENDPOINT-POLICY/endpoints/:endpoint_id',
    policy_endpoints: '/policies/:policy_id/OS-ENDPOINT-POLICY/endpoints', region_and_service_policy_association: '/policies/:policy_id/OS-ENDPOINT-POLICY/services/:service_id/regions/:region_id',
    service_policy_association: '/policies/:policy_id/OS-ENDPOINT-POLICY/services/:service_id',
  },
  'OS-EP-FILTER/1.0': {
    endpoint_group: '/OS-EP-FILTER/endpoint_groups/:endpoint_group_id', endpoint_group_to_project_association: '/OS-EP-FILTER/endpoint_groups/:endpoint_group_id/projects/:project_id',
    endpoint_groups: '/OS-EP-FILTER/endpoint_groups', endpoint_projects: '/OS-EP-FILTER/endpoints/:endpoint_id/projects',
    endpoints_in_endpoint_group: '/OS-EP-FILTER/endpoint_groups/:endpoint_group_id/endpoints', project_endpoint_groups: '/OS-EP-FILTER/projects/:project_id/endpoint_groups',
    project_endpoint: '/OS-EP-FILTER/projects/:project_id/endpoints/:endpoint_id', project_endpoints: '/OS-EP-FILTER/projects/:project_id/endpoints',
    projects_associated_with_endpoint_group: '/OS-EP-FILTER/endpoint_groups/:endpoint_group_id/projects',
  },
  'OS-INHERIT/1.0': {
    domain_user_role_inherited_to_projects: '/OS-INHERIT/domains/:domain_id/users/:user_id/roles/:role_id/inherited_to_projects',
    domain_group_role_inherited_to_projects: '/OS-INHERIT/domains/:domain_id/groups/:group_id/roles/:role_id/inherited_to_projects',
    domain_user_roles_inherited_to_projects: '/OS-INHERIT/domains/:domain_id/users/:user_id/roles/inherited_to_projects',
    domain_group_roles_inherited_to_projects: '/OS-INHERIT/domains/:domain_id/groups/:group_id/roles/inherited_to_projects',
    project_user_role_inherited_to_projects: '/OS-INHERIT/projects/:project_id/users/:user_id/roles/:role_id/inherited_to_projects',
    project_group_role_inherited_to_projects: '/OS-INHERIT/projects/:project_id/groups/:group_id/roles/:role_id/inherited_to_projects',
  },
};

/** Parameters that are not called as in the path, or belong to an extension. */
const parameterRelations: Readonly<Record<string, string>> = {
  endpoint_group_id: 'ext/OS-EP-FILTER/1.0/param/endpoint_group_id', trust_id: 'ext/OS-TRUST/1.0/param/trust_id', group: 'param/config_group', option: 'param/config_option', value: 'param/tag_value',
  prior_role_id: 'param/role_id', implied_role_id: 'param/role_id',
};
const experimental = /^\/(limits|registered_limits)(\/|$)/;

/**
 * The JSON home of Identity (draft-nottingham-json-home, as keystone has it): every resource that is offered, by its relation. `prefix` is
 * where they are from the document: nothing at `/v3`, `/v3` at the root.
 */
export function jsonHome(offered: readonly Operation[], prefix: string): object {
  const paths = new Set(offered.map(op => op.path));
  const resources = Object.entries(relations).flatMap(([extension, named]) => Object.entries(named).filter(([, path]) => paths.has(path)).map(([name, path]) => {
    const variables = path.split('/').filter(part => part.startsWith(':')).map(part => part.slice(1));
    const at = prefix + path.replaceAll(/:(\w+)/g, '{$1}');
    return [`${base}/${extension === '' ? '' : `ext/${extension}/`}rel/${name}`, {
      ...(variables.length === 0 ? { href: at } : { 'href-template': at, 'href-vars': Object.fromEntries(variables.map(v => [v, `${base}/${parameterRelations[v] ?? `param/${v}`}`])) }),
      ...(experimental.test(path) ? { hints: { status: 'experimental' } } : {}),
    }] as const;
  }));
  return { resources: Object.fromEntries(resources) };
}

/** Whether a client likes the JSON home better than JSON (`Accept`, RFC 9110 12.5.1): it has to name it. */
export const wantsHome = (accept = ''): boolean => weight(accept, 'application/json-home') > weight(accept, 'application/json');
function weight(accept: string, type: string): number {
  for (const part of accept.split(',')) {
    const [name, ...parameters] = part.split(';').map(p => p.trim());
    if (name === type) return Number(parameters.find(p => p.startsWith('q='))?.slice(2) ?? 1);
  }
  return 0;
}
