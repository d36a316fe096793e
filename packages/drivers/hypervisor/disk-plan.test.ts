import { describe, expect, it } from 'vitest';
import type { ServerSpec, VolumeDisk } from './contract.ts';
import { letterIndex, letters, nextDevice, planDisks } from './disk-plan.ts';
import { hardware } from './hardware.ts';

const spec: ServerSpec = {
  id: '0a1b2c3d-1111-4222-8333-444455556666', name: 'instance-1', displayName: 'x', vcpus: 1, memoryMiB: 64,
  root: { kind: 'image', imagePath: '/base', imageFormat: 'qcow2', sizeGiB: 1 },
};
const volume = (n: number, more: Partial<VolumeDisk> = {}): VolumeDisk =>
  ({ volumeId: `10000000-0000-4000-8000-00000000000${n}`, connection: { driver_volume_type: 'local', data: { device_path: `/v/${n}` } }, ...more });
const plan = (changes: Partial<ServerSpec>): string[] => planDisks({ ...spec, ...changes }).map((d) => `${d.role} ${d.device}${d.bootOrder ? ` boot ${d.bootOrder}` : ''}`);
const drive = { configDrive: { files: {} } };

describe('disk plan', () => {
  it('names disks as Linux does', () => {
    for (const [index, name] of [[0, 'a'], [25, 'z'], [26, 'aa'], [701, 'zz']] as const) {
      expect(letters(index)).toBe(name);
      expect(letterIndex(name)).toBe(index);
    }
  });

  it('puts the root first, then what the flavor brings, then volumes, and the config drive on its CD', () => {
    expect(plan({ ...drive, ephemerals: [{ sizeGiB: 1 }, { sizeGiB: 2 }], swapMiB: 64, volumes: [volume(1)] }))
      .toEqual(['root vda boot 1', 'ephemeral vdb', 'ephemeral vdc', 'swap vdd', 'volume vde', 'config hdd']);
  });

  it('keeps the names that volumes have, and gives the others what is left', () => {
    expect(plan({ volumes: [volume(1), volume(2, { device: 'vdb' }), volume(3, { device: 'sdx' })], swapMiB: 1 }))
      .toEqual(['root vda boot 1', 'swap vdc', 'volume vdd', 'volume vdb', 'volume vde']);
  });

  it('boots in the order of the boot indexes, root first', () => {
    expect(plan({ root: { kind: 'volume', volume: volume(1, { bootIndex: 0 }) }, volumes: [volume(2, { bootIndex: 2 }), volume(3, { bootIndex: 1 }), volume(4, { bootIndex: -1 })] }))
      .toEqual(['root vda boot 1', 'volume vdb boot 3', 'volume vdc boot 2', 'volume vdd']);
  });

  it('boots an installation CD behind an empty disk', () => {
    expect(plan({ root: { kind: 'image', imagePath: '/cd', imageFormat: 'iso', sizeGiB: 1 } })).toEqual(['root vda boot 1', 'cdrom hda boot 2']);
    expect(plan({ root: { kind: 'image', imagePath: '/cd', imageFormat: 'iso', sizeGiB: 0 } })).toEqual(['cdrom hda boot 1']);
  });

  it('knows the limits of IDE and of q35', () => {
    expect(() => plan({ imageProperties: { hw_disk_bus: 'ide' }, volumes: [1, 2, 3, 4].map((n) => volume(n)) })).toThrow(/no free ide/);
    expect(() => plan({ imageProperties: { hw_disk_bus: 'ide', hw_machine_type: 'q35' } })).toThrow(/no IDE/);
    expect(plan({ ...drive, imageProperties: { hw_machine_type: 'q35' } })).toEqual(['root vda boot 1', 'config sda']);
    expect(() => nextDevice('fdc', ['fda', 'fdb'])).toThrow();
  });

  const rescue = { imagePath: '/rescue', imageFormat: 'qcow2' } as const;
  it('rescues with the original root second and no volumes', () => {
    expect(plan({ ...drive, rescue, volumes: [volume(1)] })).toEqual(['rescue vda boot 1', 'root vdb', 'config hdd']);
  });

  it('rescues in place with every disk where it was', () => {
    const imageProperties = { hw_rescue_device: 'cdrom', hw_rescue_bus: 'usb' };
    expect(plan({ ...drive, rescue: { ...rescue, imageProperties }, volumes: [volume(1), volume(2, { device: 'vdz' })] }))
      .toEqual(['root vda', 'volume vdb', 'volume vdz', 'rescue sda boot 1', 'config hdd']);
  });

  it('rescues a volume-backed server in place only', () => {
    const root = { kind: 'volume', volume: volume(1) } as const;
    expect(() => plan({ root, rescue })).toThrow(/volume-backed/);
    expect(plan({ root, rescue: { ...rescue, imageProperties: { hw_rescue_bus: 'virtio' } } })).toEqual(['root vda', 'rescue vdb boot 1']);
  });
});

describe('hardware', () => {
  it.for([
    [{}, { sockets: 4, cores: 1, threads: 1 }],
    [{ 'hw:cpu_cores': '2' }, { sockets: 2, cores: 2, threads: 1 }],
    [{ 'hw:cpu_sockets': '1', 'hw:cpu_threads': '2' }, { sockets: 1, cores: 2, threads: 2 }],
  ] as const)('arranges four CPUs by %j', ([extraSpecs, topology]) => {
    expect(hardware({ vcpus: 4, extraSpecs }).topology).toEqual(topology);
  });

  it.for([
    [{ hw_vif_model: 'vmware' }, 'invalid'], [{ hw_machine_type: 'virt' }, 'unsupported'], [{ hw_architecture: 'aarch64' }, 'unsupported'],
    [{ hw_tpm_version: '2.0' }, 'unsupported'], [{ hw_serial_port_count: '99' }, 'invalid'], [{ hw_cpu_sockets: '3' }, 'invalid'],
  ] as const)('refuses %j', ([imageProperties, kind]) => {
    expect(() => hardware({ vcpus: 4, imageProperties: imageProperties as Record<string, string> })).toThrow(expect.objectContaining({ kind }));
  });
});
