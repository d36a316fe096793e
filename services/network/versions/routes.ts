import { operation, type Operation } from '@cumulet/http';
import { NotFound } from '@cumulet/wire';

/** What of neutron is here, by the aliases that clients probe. */
const extensions: Readonly<Record<string, string>> = {
  'address-group': 'Address group', 'address-scope': 'Address scope', agent: 'agent', 'allowed-address-pairs': 'Allowed Address Pairs', 'auto-allocated-topology': 'Auto Allocated Topology Services', availability_zone: 'Availability Zone', network_availability_zone: 'Network Availability Zone', router_availability_zone: 'Router Availability Zone',
  binding: 'Port Binding', 'binding-extended': 'Port Bindings Extended', 'default-subnetpools': 'Default Subnetpools', 'dns-integration': 'DNS Integration', 'empty-string-filtering': 'Empty String Filtering', 'external-net': 'Neutron external network', extra_dhcp_opt: 'Neutron Extra DHCP options',
  flavors: 'Neutron Service Flavors', extraroute: 'Neutron Extra Route', 'expose-port-forwarding-in-fip': 'Expose Floating IP port forwardings', 'extraroute-atomic': 'Atomically add/remove extra routes', 'filter-validation': 'Filter parameters validation', 'floating-ip-port-forwarding': 'Floating IP Port Forwarding', 'floating-ip-port-forwarding-description': 'Floating IP Port Forwarding new attribute description', 'floating-ip-port-forwarding-detail': 'Floating IP port forwarding detail', 'floating-ip-port-forwarding-port-ranges': 'Floating IP Port Forwarding support port ranges', 'fip-port-details': 'Floating IP Port Details Extension', 'floatingip-pools': 'Floating IP Pools Extension', 'ip-substring-filtering': 'IP address substring filtering',
  l3_agent_scheduler: 'L3 Agent Scheduler', 'net-mtu': 'Network MTU', 'net-mtu-writable': 'Network MTU (writable)', 'network-ip-availability': 'Network IP Availability', 'port-mac-address-regenerate': 'Port MAC address regenerate', 'port-security': 'Port Security', 'project-id': 'project_id field enabled', 'provider': 'Provider Network', 'quotas': 'Quota management support',
  qos: 'Quality of Service', 'qos-bw-limit-direction': 'Direction for QoS bandwidth limit rule', 'qos-bw-minimum-ingress': 'Ingress direction for QoS minimum bandwidth rule', 'qos-default': 'QoS default policy', 'qos-port-network-policy': 'QoS port network policy ID', 'qos-pps': 'QoS Rule Type Packet per Second Extension', 'qos-pps-minimum': 'QoS minimum packet rate rule', 'qos-pps-minimum-rule-alias': 'QoS minimum packet rate rule alias', 'qos-rule-type-details': 'Details of QoS rule types', 'qos-rule-type-filter': 'Allow to filter the list of QoS rule types', 'qos-rules-alias': 'Quality of Service rules alias API',
  quota_details: 'Quota details management support', 'rbac-policies': 'RBAC Policies', 'rbac-address-group': 'Add address_group type to RBAC', 'rbac-address-scope': 'Add address_scope type to RBAC', 'rbac-security-groups': 'Add security_group type to network RBAC', 'rbac-subnetpool': 'Add subnetpool type to RBAC', 'revision-if-match': 'If-Match constraints based on revision_number', router: 'Neutron L3 Router', 'ext-gw-mode': 'Neutron L3 Configurable external gateway mode', 'security-group': 'security-group', 'security-groups-normalized-cidr': 'Normalized CIDR field for security group rules', 'security-groups-remote-address-group': 'Remote address group id field for security group rules', 'security-groups-shared-filtering': 'Security group filtering on the shared field', 'service-type': 'Neutron Service Type Management', 'stateful-security-group': 'Stateful security group',
  'sorting': 'Sorting support', pagination: 'Pagination support', 'standard-attr-description': 'standard-attr-description', 'standard-attr-revisions': 'Resource revision numbers', 'standard-attr-tag': 'Tag support for resources with standard attribute: subnet, subnetpool, network, router, security_group, floatingip, policy, port', 'standard-attr-timestamp': 'Resource timestamps',
  subnet_allocation: 'Subnet Allocation', subnet_onboard: 'Subnet Onboard', 'subnet-service-types': 'Subnet service types', 'subnetpool-prefix-ops': 'Subnet Pool Prefix Operations', 'tag-ports-during-bulk-creation': 'Tag Ports During Bulk Creation',
};
const shown = Object.entries(extensions);
const view = ([alias, name]: [string, string]) => ({ alias, name, description: name, updated: '2022-10-05T00:00:00-00:00', links: [] });
const base = (baseUrl: string) => ({ id: 'v2.0', status: 'CURRENT', links: [{ rel: 'self', href: `${baseUrl}/v2.0/` }] });
const collections = ['networks', 'subnets', 'subnetpools', 'address-scopes', 'address-groups', 'rbac-policies', 'ports', 'routers', 'floatingips', 'security-groups', 'security-group-rules', 'quotas', 'flavors', 'service_profiles', 'extensions', 'availability_zones'];

export const versionRoutes = (): Operation[] => [
  operation({ id: 'versions.list', summary: 'The versions of this API', method: 'GET', path: '/', root: true, policy: { open: 'clients find the version before they have a token' }, handler: ctx => ({ versions: [base(ctx.baseUrl)] }) }),
  operation({
    id: 'versions.show', summary: 'What is in this version', method: 'GET', path: '/v2.0', root: true, policy: { open: 'clients find the version before they have a token' },
    handler: ctx => ({ resources: collections.map(name => ({ name: name.replaceAll('-', '_').replace(/(?:(polic)ies|s)$/, (_, stem?: string) => (stem === undefined ? '' : `${stem}y`)), collection: name.replaceAll('-', '_'), links: [{ rel: 'self', href: `${ctx.baseUrl}/v2.0/${name}` }] })) }),
  }),
  operation({ id: 'extensions.list', summary: 'Extensions', method: 'GET', path: '/extensions', policy: { anyone: 'the same for everybody' }, handler: () => ({ extensions: shown.map(view) }) }),
  operation({
    id: 'extensions.show', summary: 'One extension', method: 'GET', path: '/extensions/:alias', policy: { anyone: 'the same for everybody' },
    handler: ctx => {
      const found = shown.find(([alias]) => alias === ctx.params['alias']);
      if (!found) throw new NotFound(`Extension with alias ${ctx.params['alias']} does not exist`, { kind: 'HTTPNotFound' });
      return { extension: view(found) };
    },
  }),
];
