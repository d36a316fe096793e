import { expect, test } from 'vitest';
import type { TestCloud } from '../harness/cloud.ts';
import { json, old, properties, refused, status, table } from './said.ts';

export function aboutVolumes(cloud: () => TestCloud): void {
  test('openstack: a volume is made, grown, copied by a snapshot, and deleted', async () => {
    const c = cloud();
    expect(await json(c.openstack('volume', 'create', '--size', '1', '--description', 'Ünïcode 卷', 'data', '-f', 'json'))).toMatchObject({ size: 1, description: 'Ünïcode 卷' });
    await status(c, 'volume', 'data', 'available');
    await c.openstack('volume', 'set', '--size', '2', 'data');
    await status(c, 'volume', 'data', 'available');
    expect(await json(c.openstack('volume', 'list', '-f', 'json'))).toMatchObject([{ Name: 'data', Status: 'available', Size: 2 }]);
    await c.openstack('volume', 'snapshot', 'create', '--volume', 'data', 'snap');
    await status(c, 'volume snapshot', 'snap', 'available');
    expect(await refused(c, 'openstack', ['volume', 'delete', 'data'])).toMatch(/snapshots/);
    await c.openstack('volume', 'create', '--snapshot', 'snap', 'copy');
    await status(c, 'volume', 'copy', 'available');
    expect(await c.openstack('volume', 'show', 'copy', '-f', 'value', '-c', 'size')).toBe('2');
    await c.openstack('volume', 'snapshot', 'delete', 'snap');
    await expect.poll(() => c.openstack('volume', 'snapshot', 'list', '-f', 'value'), { timeout: 30_000, interval: 500 }).toBe('');
    await c.openstack('volume', 'delete', 'data', 'copy');
    await expect.poll(() => c.openstack('volume', 'list', '-f', 'value'), { timeout: 30_000, interval: 500 }).toBe('');
  });

  test('cinder: create, extend, snapshots, delete', async () => {
    const c = cloud();
    const { id } = properties(await old(c, 'cinder', ['create', '--name', 'old', '1']));
    await status(c, 'volume', 'old', 'available');
    await old(c, 'cinder', ['extend', 'old', '2']);
    await status(c, 'volume', 'old', 'available');
    expect(table(await old(c, 'cinder', ['list']))).toMatchObject([{ ID: id, Status: 'available', Name: 'old', Size: '2', Bootable: 'false', 'Attached to': '' }]);
    expect(await refused(c, 'cinder', ['extend', 'old', '1'])).toMatch(/New size for extend must be greater than current size/);
    await old(c, 'cinder', ['snapshot-create', '--name', 'old-snap', 'old']);
    await status(c, 'volume snapshot', 'old-snap', 'available');
    expect(table(await old(c, 'cinder', ['snapshot-list']))).toMatchObject([{ 'Volume ID': id, Status: 'available', Name: 'old-snap', Size: '2' }]);
    await old(c, 'cinder', ['snapshot-delete', 'old-snap']);
    await expect.poll(async () => table(await old(c, 'cinder', ['snapshot-list'])), { timeout: 30_000, interval: 500 }).toEqual([]);
    await old(c, 'cinder', ['delete', 'old']);
    await expect.poll(async () => table(await old(c, 'cinder', ['list'])), { timeout: 30_000, interval: 500 }).toEqual([]);
  });

  test('cinder: a volume goes to another project by transfer', async () => {
    const c = cloud();
    const { id } = properties(await old(c, 'cinder', ['create', '--name', 'gift', '1'], 'admin'));
    await expect.poll(async () => properties(await old(c, 'cinder', ['show', id as string], 'admin'))['status'], { timeout: 30_000, interval: 500 }).toBe('available');
    expect(await old(c, 'cinder', ['list'])).not.toContain(id);
    const transfer = properties(await old(c, 'cinder', ['transfer-create', '--name', 'test-transfer', 'gift'], 'admin'));
    expect(transfer).toMatchObject({ name: 'test-transfer', volume_id: id, auth_key: expect.stringMatching(/^[0-9a-f]{16}$/) as string });
    const [shown] = await Promise.all([old(c, 'cinder', ['show', id as string], 'admin'), refused(c, 'cinder', ['transfer-accept', transfer['id'] as string, '0'.repeat(16)])]);
    expect(properties(shown)['status']).toBe('awaiting-transfer');
    expect(properties(await old(c, 'cinder', ['transfer-accept', transfer['id'] as string, transfer['auth_key'] as string]))).toMatchObject({ volume_id: id, name: 'test-transfer' });
    expect(table(await old(c, 'cinder', ['list']))).toMatchObject([{ ID: id, Status: 'available', Name: 'gift' }]);
    expect(table(await old(c, 'cinder', ['transfer-list'], 'admin'))).toEqual([]);
    await old(c, 'cinder', ['delete', 'gift']);
  });

  test('over quota: the client is told which one, and nothing is left', async () => {
    const c = cloud();
    const before = await c.openstack('volume', 'list', '-f', 'value', '-c', 'ID');
    expect(await refused(c, 'openstack', ['volume', 'create', '--size', '5000', 'huge'])).toMatch(/VolumeSizeExceedsAvailableQuota|exceeds allowed gigabytes quota/);
    expect(await c.openstack('volume', 'list', '-f', 'value', '-c', 'ID')).toBe(before);
  });
}
