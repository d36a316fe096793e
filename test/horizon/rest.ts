import type { Forms } from './forms.ts';

/**
 * What Horizon's scripts read for the panels that they draw: paths below `/api/`. Left out are two that Horizon refuses whatever cloud is behind it: `cinder/services/` wants a service of the
 * type `volume`, and `neutron/quota-sets/defaults/` has no route.
 */
const everyone = [
  'settings/', 'timezones/',
  'cinder/availzones/', 'cinder/extensions/', 'cinder/tenantabsolutelimits/', 'cinder/volumes/?paginate=true', 'cinder/volumesnapshots/', 'cinder/volumetypes/', 'cinder/volumetypes/default/',
  'glance/version/', 'glance/images/?paginate=true&sort_key=created_at&sort_dir=desc', 'glance/metadefs/namespaces/?resource_type=OS::Nova::Flavor', 'glance/metadefs/resourcetypes/',
  'keystone/version/', 'keystone/svc-catalog/', 'keystone/user-session/', 'keystone/users/current', 'keystone/default_domain/',
  'network/floatingips/', 'network/floatingippools/', 'network/securitygroups/',
  'neutron/extensions/', 'neutron/networks/', 'neutron/ports/', 'neutron/qos_policies/',
  'nova/availzones/', 'nova/flavors/?is_public=true&get_extras=true', 'nova/keypairs/', 'nova/limits/?reserved=true', 'nova/quota-sets/editable/', 'nova/servergroups/', 'nova/servers/',
];
const administrator = [
  'cinder/qosspecs/', 'cinder/quota-sets/defaults/', 'keystone/domains/', 'keystone/groups/', 'keystone/projects/', 'keystone/roles/', 'keystone/services/', 'keystone/users/',
  'neutron/agents/', 'nova/quota-sets/defaults/', 'nova/services/',
];

export async function readAll(f: Forms, asAdministrator: boolean): Promise<void> {
  for (const path of [...everyone, ...(asAdministrator ? administrator : [])]) await f.rest('GET', path);
  const network = await f.find('neutron/networks/', asAdministrator ? 'hz-shared' : 'hz-net');
  await f.rest('GET', `neutron/subnets/?network_id=${network}`);
  await f.rest('POST', 'policy/', { rules: [['compute', 'os_compute_api:servers:create'], ['network', 'create_network'], ['volume', 'volume:create'], ['image', 'add_image']] });
  if (!asAdministrator) return;
  for (const { id } of await f.listed('nova/flavors/')) await f.rest('GET', `nova/flavors/${id}/extra-specs/`);
  for (const { id } of await f.listed('keystone/projects/')) await f.rest('GET', `keystone/projects/${id}`);
}
