import { describe, expect, it } from 'vitest';
import type { Connection, ServerSpec, VolumeDisk } from '../contract.ts';
import { localPath } from './disk-xml.ts';
import { domainXml, type DomainXmlOptions } from './domain-xml.ts';
import { parseXml, toXml, type Element } from './xml.ts';

const options: DomainXmlOptions = {
  virtType: 'qemu', cpuMode: 'host-model', folder: '/i/x', owner: '/i', cache: 'none', consoleLog: '/i/x/console.log', serialSocket: '/i/x/serial.sock',
  vncListen: '127.0.0.1', cgroups: false,
};
const spec: ServerSpec = {
  id: '0a1b2c3d-1111-4222-8333-444455556666', name: 'instance-1', displayName: 'x', vcpus: 1, memoryMiB: 64,
  root: { kind: 'image', imagePath: '/base', imageFormat: 'qcow2', sizeGiB: 1 },
};
const render = (changes: Partial<ServerSpec> = {}, more: Partial<DomainXmlOptions> = {}): Element => parseXml(domainXml({ ...spec, ...changes }, { ...options, ...more }), 'domain');
const volumeId = '10000000-0000-4000-8000-000000000001';
const withVolume = (connection: Connection, more: Partial<VolumeDisk> = {}): Element => {
  const disk = render({ volumes: [{ volumeId, connection, ...more }] }).at('devices').all('disk')[1];
  if (disk === undefined) throw new Error('the volume is missing');
  return disk;
};

describe('domain XML', () => {
  it.for(['</nova:name></metadata><devices/>', '&lt;&amp;', '"\'', ']]>', '<!--', '\u{1F642} 服务器', '<!DOCTYPE x [<!ENTITY e "y">]>&e;'])('carries the name %s as it is', (displayName) => {
    const domain = render({ displayName, project: { id: displayName, name: displayName }, flavorName: displayName });
    expect(domain.at('metadata', 'nova:instance', 'nova:name').text).toBe(displayName.trim());
    expect(domain.at('metadata', 'nova:instance', 'nova:flavor').attribute('name')).toBe(displayName);
    expect(domain.at('metadata', 'nova:instance', 'nova:owner', 'nova:project').attribute('uuid')).toBe(displayName);
    expect(domain.all('devices')).toHaveLength(1);
  });

  it('replaces what XML cannot carry', () => {
    expect(toXml({ a: 'x\u0000\u0008\uFFFE\uD800y' })).toBe('<a>x\uFFFD\uFFFD\uFFFD\uFFFDy</a>');
  });

  it('looks like OpenStack to cloud-init, and like ours to us', () => {
    const domain = render();
    expect(domain.at('sysinfo', 'system').all('entry').map((e) => e.text)).toContain('OpenStack Nova');
    expect(domain.at('os', 'smbios').attribute('mode')).toBe('sysinfo');
    expect(domain.at('metadata', 'cumulet:server').attribute('owner')).toBe('/i');
  });

  it('knows only bridges, and limits the memory of the emulation', () => {
    const domain = render({ nics: [{ portId: 'p', mac: 'FA:16:3E:00:00:01', bridge: 'br1', tapName: 'tap1', mtu: 1_450 }] });
    const nic = domain.at('devices', 'interface');
    expect([nic.attribute('type'), nic.at('source').attribute('bridge'), nic.at('target').attribute('dev'), nic.at('mtu').attribute('size')]).toEqual(['bridge', 'br1', 'tap1', '1450']);
    expect(domain.at('features', 'tcg', 'tb-cache').text).toBe('64');
    expect(render({}, { virtType: 'kvm' }).at('features', 'tcg').exists).toBe(false);
  });

  it('promises CPU quotas only where the daemon can keep them', () => {
    const extraSpecs = { 'quota:cpu_shares': '512', 'quota:disk_total_iops_sec': '100' };
    expect(render({ extraSpecs }).at('cputune').exists).toBe(false);
    expect(render({ extraSpecs }, { cgroups: true }).at('cputune', 'shares').text).toBe('512');
    expect(render({ extraSpecs }).at('devices', 'disk', 'iotune', 'total_iops_sec').text).toBe('100');
  });

  it('keeps the limits of each volume, the root included', () => {
    const disk = withVolume({ driver_volume_type: 'local', data: { device_path: '/v/1' } }, { qos: { read_iops_sec: 100, total_bytes_sec: 1_000_000, write_iops_sec: 0 } });
    expect(disk.at('iotune', 'read_iops_sec').text).toBe('100');
    expect(disk.at('iotune', 'total_bytes_sec').text).toBe('1000000');
    expect(disk.at('iotune', 'write_iops_sec').exists).toBe(false);
    const root = render({ root: { kind: 'volume', volume: { volumeId, connection: { driver_volume_type: 'local', data: { device_path: '/v/1' } }, qos: { read_iops_sec: 7 } } } });
    expect(root.at('devices', 'disk', 'iotune', 'read_iops_sec').text).toBe('7');
  });

  it('describes local files and block devices', () => {
    const file = withVolume({ driver_volume_type: 'local', data: { device_path: '/v/1', format: 'qcow2' } }, { discard: true, multiattach: true });
    expect([file.attribute('type'), file.at('source').attribute('file'), file.at('driver').attribute('type'), file.at('driver').attribute('discard')]).toEqual(['file', '/v/1', 'qcow2', 'unmap']);
    expect([file.at('serial').text, file.at('alias').attribute('name'), file.at('shareable').exists]).toEqual([volumeId, `ua-vol-${volumeId}`, true]);
    const block = withVolume({ driver_volume_type: 'local', data: { device_path: '/dev/vg/lv' } });
    expect([block.attribute('type'), block.at('source').attribute('dev'), block.at('driver').attribute('type')]).toEqual(['block', '/dev/vg/lv', 'raw']);
  });

  it('finds files of NFS shares where Nova does', () => {
    const path = localPath({ driver_volume_type: 'nfs', data: { export: 'host:/share', name: 'volume-1', mount_point_base: '/mnt' } });
    expect(path).toBe('/mnt/aa8d385672bcb47d3cb04aed103d235a/volume-1');
  });

  it('describes iSCSI with its secret by name only', () => {
    const disk = withVolume({ driver_volume_type: 'iscsi', data: { target_portal: '[fd00::1]:3260', target_iqn: 'iqn.2010-10.org.openstack:v1', target_lun: 1, auth_username: 'u', auth_password: 'hunter2' } });
    expect([disk.attribute('type'), disk.at('source').attribute('name'), disk.at('source', 'host').attribute('name'), disk.at('source', 'host').attribute('port')])
      .toEqual(['network', 'iqn.2010-10.org.openstack:v1/1', 'fd00::1', '3260']);
    expect(disk.at('source', 'auth', 'secret').attribute('usage')).toBe(`cumulet-${volumeId}`);
    expect(disk.toXml('disk')).not.toContain('hunter2');
  });

  it('describes RBD with every monitor', () => {
    const disk = withVolume({ driver_volume_type: 'rbd', data: { name: 'volumes/v1', hosts: ['10.0.0.1', '[fd00::2]'], ports: ['6789', '3300'], auth_username: 'cinder', secret_uuid: spec.id, keyring: 'S0VZ' } });
    expect(disk.at('source').all('host').map((h) => `${h.attribute('name')} ${h.attribute('port')}`)).toEqual(['10.0.0.1 6789', 'fd00::2 3300']);
    expect(disk.at('source', 'auth', 'secret').attribute('uuid')).toBe(spec.id);
    expect(disk.toXml('disk')).not.toContain('S0VZ');
  });
});
