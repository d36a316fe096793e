import type { ServerRow } from '../servers/row.ts';
import type { PortFacts } from '../neighbours.ts';
import type { MetadataDocument } from './document.ts';

/** The dated versions of each tree; `latest` is the newest. */
export const ec2Versions = ['1.0', '2007-01-19', '2007-03-01', '2007-08-29', '2007-10-10', '2007-12-15', '2008-02-01', '2008-09-01', '2009-04-04'] as const;
export const openstackVersions = ['2012-08-10', '2013-04-04', '2013-10-17', '2015-10-15', '2016-06-30', '2016-10-06', '2017-02-22', '2018-08-27', '2020-10-14', '2025-04-04'] as const;
type OpenstackVersion = (typeof openstackVersions)[number];

/** A file is text or bytes; a folder lists its members. */
export type Node = string | Buffer | { readonly [name: string]: Node };

const fqdn = (row: ServerRow) => (row.hostname.includes('.') ? row.hostname : `${row.hostname}.novalocal`);
const userData = (row: ServerRow): Buffer | undefined => (row.user_data === null ? undefined : Buffer.from(row.user_data, 'base64'));

function keys(row: ServerRow) {
  return row.key_name === null || row.key_data === null ? {} : { public_keys: { [row.key_name]: row.key_data }, keys: [{ name: row.key_name, type: row.key_type ?? 'ssh', data: row.key_data }] };
}

/** `meta_data.json`. */
export function metaData(d: MetadataDocument, version: OpenstackVersion | 'latest' = 'latest', extra: Record<string, unknown> = {}): string {
  const { row } = d;
  const at = version === 'latest' ? openstackVersions.at(-1) as string : version;
  const devices = at >= '2016-06-30' ? d.links.filter(l => l.tag !== null).map(l => ({ type: 'nic', bus: 'none', address: 'none', mac: d.ports.find(p => p.id === l.port_id)?.mac_address ?? '', tags: [l.tag] }))
    .concat(d.devices.filter(x => x.tag !== null).map(x => ({ type: 'disk', bus: 'none', address: 'none', mac: '', serial: x.volume_id ?? '', path: x.device_name ?? '', tags: [x.tag] })) as never) : [];
  return JSON.stringify({
    uuid: row.id, ...keys(row), ...(Object.keys(row.metadata).length > 0 ? { meta: row.metadata } : {}), hostname: fqdn(row), name: row.name, launch_index: row.launch_index, availability_zone: row.availability_zone ?? 'nova',
    ...(at >= '2013-04-04' ? { random_seed: undefined } : {}), ...(at >= '2015-10-15' ? { project_id: row.project_id } : {}), ...(at >= '2016-06-30' ? { devices } : {}), ...(at >= '2017-02-22' ? {} : {}), ...(at >= '2020-10-14' ? { dedicated_cpus: [] } : {}), ...extra,
  });
}

/** `network_data.json`: links, networks and DNS servers of the guest's ports. */
export function networkData(ports: readonly PortFacts[]): string {
  const links: unknown[] = [];
  const networks: unknown[] = [];
  const services = new Map<string, { type: string; address: string }>();
  for (const port of ports) {
    const link = `tap${port.id.slice(0, 11)}`;
    links.push({ id: link, vif_id: port.id, type: 'bridge', mtu: port.network.mtu, ethernet_mac_address: port.mac_address });
    for (const ip of port.fixed_ips) {
      const subnet = port.subnets.find(s => s.id === ip.subnet_id);
      const dns = (subnet?.dns_nameservers ?? []).map(address => ({ type: 'dns', address }));
      for (const s of dns) services.set(s.address, s);
      const family = ip.ip_address.includes(':') ? 6 : 4;
      const base = { id: `network${networks.length}`, link, network_id: port.network_id };
      // A guest that learns an IPv6 address by announcements is told the address all the same, and how it learns it.
      const mode = subnet?.ipv6_address_mode ?? null;
      if (subnet === undefined || (subnet.enable_dhcp && mode === null)) { networks.push({ ...base, type: `ipv${family}_dhcp` }); continue; }
      const any = family === 4 ? '0.0.0.0' : '::';
      const routes = [...(subnet.gateway_ip === null ? [] : [{ network: any, netmask: any, gateway: subnet.gateway_ip }]), ...subnet.host_routes.map(r => ({ network: r.destination.split('/')[0], netmask: netmask(r.destination), gateway: r.nexthop }))];
      networks.push({ ...base, type: `ipv${family}${mode === null ? '' : `_${mode}`}`, ip_address: ip.ip_address, netmask: netmask(subnet.cidr), routes, services: dns });
    }
  }
  return JSON.stringify({ links, networks, services: [...services.values()] });
}
/** `255.255.255.0`, `ffff:ffff:ffff:ffff::`: of a range in its short form. */
function netmask(cidr: string): string {
  const v6 = cidr.includes(':');
  const bits = Number(cidr.split('/')[1] ?? (v6 ? 128 : 32));
  if (!v6) return [24, 16, 8, 0].map(shift => ((bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0) >>> shift) & 255).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (0xffff & (0xffff << (16 - Math.min(16, Math.max(0, bits - 16 * i))))).toString(16)).filter(group => group !== '0');
  return groups.length === 8 ? groups.join(':') : `${groups.join(':')}::`;
}

/** The EC2 tree under one version. */
export function ec2Tree(d: MetadataDocument): Node {
  const { row, ports } = d;
  const fixed = ports.flatMap(p => p.fixed_ips.map(f => f.ip_address)).find(ip => !ip.includes(':')) ?? '';
  const floating = ports.flatMap(p => p.floating_ips.map(f => f.floating_ip_address))[0] ?? '';
  const groups = [...new Set(ports.flatMap(p => p.security_groups.map(g => g.name)))];
  const number = row.num.toString(16).padStart(8, '0');
  const data = userData(row);
  return {
    'meta-data': {
      'ami-id': `ami-${number}`, 'ami-launch-index': String(row.launch_index), 'ami-manifest-path': 'FIXME', 'block-device-mapping': { ami: 'vda', root: row.root_device_name ?? '/dev/vda' }, hostname: fqdn(row), 'instance-action': 'none', 'instance-id': `i-${number}`,
      'instance-type': row.flavor.name, 'local-hostname': fqdn(row), 'local-ipv4': fixed, placement: { 'availability-zone': row.availability_zone ?? 'nova' }, 'public-hostname': fqdn(row), 'public-ipv4': floating,
      ...(row.key_name !== null && row.key_data !== null ? { 'public-keys': { [`0`]: { _name: `0=${row.key_name}`, 'openssh-key': row.key_data } } } : {}), 'reservation-id': row.reservation_id, 'security-groups': groups.length > 0 ? groups.join('\n') : 'default',
    },
    ...(data ? { 'user-data': data } : {}),
  };
}

/** The OpenStack tree of one version. */
export function openstackTree(d: MetadataDocument, version: OpenstackVersion | 'latest', extra: Record<string, unknown> = {}): Record<string, Node> {
  const at = version === 'latest' ? openstackVersions.at(-1) as string : version;
  const data = userData(d.row);
  return {
    'meta_data.json': metaData(d, version, extra), ...(data ? { user_data: data } : {}), ...(at >= '2013-04-04' ? { password: d.row.password ?? '' } : {}), ...(at >= '2013-10-17' ? { 'vendor_data.json': '{}' } : {}),
    ...(at >= '2015-10-15' ? { 'network_data.json': networkData(d.ports) } : {}), ...(at >= '2016-10-06' ? { 'vendor_data2.json': JSON.stringify({ static: {} }) } : {}),
    ...(d.row.personality.length > 0 ? { content: {} } : {}),
  };
}

/** The files of a config drive, by path. It is the only place where a guest finds its first password. */
export function configDrive(d: MetadataDocument, o: { adminPass?: string } = {}): Record<string, string | { base64: string }> {
  const files: Record<string, string | { base64: string }> = {};
  const put = (path: string, node: Node): void => {
    if (typeof node === 'string') files[path] = node;
    else if (Buffer.isBuffer(node)) files[path] = { base64: node.toString('base64') };
    else for (const [name, inner] of Object.entries(node)) put(`${path}/${name}`, inner);
  };
  const injected = d.row.personality.map((p, i) => ({ path: p.path, content_path: `/content/${String(i).padStart(4, '0')}` }));
  d.row.personality.forEach((p, i) => { files[`openstack/content/${String(i).padStart(4, '0')}`] = { base64: p.contents }; });
  for (const version of [...openstackVersions, 'latest'] as const) {
    const { password, content, ...tree } = openstackTree(d, version, { ...(injected.length > 0 ? { files: injected } : {}), ...(o.adminPass === undefined ? {} : { admin_pass: o.adminPass }) });
    put(`openstack/${version}`, tree);
  }
  const ec2 = { 'ami-id': `ami-${d.row.num.toString(16).padStart(8, '0')}`, hostname: fqdn(d.row), 'instance-id': `i-${d.row.num.toString(16).padStart(8, '0')}`, 'instance-type': d.row.flavor.name, 'local-hostname': fqdn(d.row), 'public-keys': d.row.key_data === null ? {} : { '0': { 'openssh-key': d.row.key_data } } };
  for (const version of ['2009-04-04', 'latest']) {
    files[`ec2/${version}/meta-data.json`] = JSON.stringify(ec2);
    const data = userData(d.row);
    if (data) files[`ec2/${version}/user-data`] = { base64: data.toString('base64') };
  }
  return files;
}
