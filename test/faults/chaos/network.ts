import type { Idea, User } from './user.ts';

/** What comes to mind about networks, routers and floating IPs. `external`: where the floating ones come from. */
export function networkIdeas(user: User, external: string): readonly Idea[] {
  const { random } = user;
  const ask = (what: string, method: string, path: string, body?: unknown) => user.ask(what, 'network', method, `/v2.0/${path}`, body);
  const first = async (what: string, path: string): Promise<string | undefined> => {
    const { status, body } = await ask(`list ${what}`, 'GET', path);
    return status === 200 ? (body[what] as { id: string }[])[0]?.id : undefined;
  };
  const subnetOf = (network: string) => first('subnets', `subnets?network_id=${network}`);
  const make = async () => {
    const network = (await user.make('network', { name: user.label() }))?.body?.network?.id as string | undefined;
    if (network !== undefined) await ask('make subnet', 'POST', 'subnets', { subnet: { network_id: network, ip_version: 4, cidr: `10.${200 + random.below(50)}.${random.below(250)}.0/24` } });
  };
  const join = async () => {
    const subnet = await subnetOf(user.any('network'));
    if (subnet !== undefined) await ask('add interface', 'PUT', `routers/${user.any('router')}/add_router_interface`, { subnet_id: subnet });
  };
  const part = async () => {
    const subnet = await subnetOf(user.any('network'));
    if (subnet !== undefined) await ask('remove interface', 'PUT', `routers/${user.any('router')}/remove_router_interface`, { subnet_id: subnet });
  };
  const floatTo = async () => {
    const port = await first('ports', `ports?device_id=${user.any('server')}`);
    await ask('associate', 'PUT', `floatingips/${user.any('floatingIp')}`, { floatingip: { port_id: port ?? null } });
  };
  return [
    make, make, () => user.remove('network'), join, join, part,
    () => user.make('router', { name: user.label(), ...(random.below(2) === 0 ? { external_gateway_info: { network_id: external } } : {}) }), () => user.remove('router'),
    () => ask('gateway', 'PUT', `routers/${user.any('router')}`, { router: { external_gateway_info: random.below(2) === 0 ? {} : { network_id: external } } }),
    () => user.make('floatingIp', { floating_network_id: external }), floatTo, floatTo, () => user.remove('floatingIp'),
    () => ask('switch network', 'PUT', `networks/${user.any('network')}`, { network: { admin_state_up: random.below(2) === 0 } }),
    async () => {
      const subnet = await subnetOf(user.any('network'));
      if (subnet !== undefined) await ask('delete subnet', 'DELETE', `subnets/${subnet}`);
    },
  ];
}
