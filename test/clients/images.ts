import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { TestCloud } from '../harness/cloud.ts';
import { json, old, properties, refused, table } from './said.ts';

export function aboutImages(cloud: () => TestCloud, folder: string): void {
  const file = join(folder, 'disk.raw');
  const content = randomBytes(5_000_001);
  writeFileSync(file, content);

  test('openstack image create --file, show, save: every byte comes back', async () => {
    const made = await json(cloud().openstack('image', 'create', '--file', file, '--disk-format', 'raw', '--container-format', 'bare', '--property', 'os_distro=none', 'bytes', '-f', 'json'));
    expect(made).toMatchObject({ name: 'bytes', disk_format: 'raw' });
    const shown = await json(cloud().openstack('image', 'show', 'bytes', '-f', 'json'));
    expect(shown).toMatchObject({ status: 'active', size: content.length, visibility: 'shared' });
    await cloud().openstack('image', 'save', '--file', join(folder, 'saved'), 'bytes');
    expect(readFileSync(join(folder, 'saved')).equals(content)).toBe(true);
    await cloud().openstack('image', 'delete', 'bytes');
    expect(await refused(cloud(), 'openstack', ['image', 'show', 'bytes'])).toMatch(/No Image found for bytes|could not be found/);
  });

  test('glance: an image is shared with another project by its members', async () => {
    const c = cloud();
    const image = properties(await old(c, 'glance', ['image-create', '--disk-format', 'raw', '--container-format', 'bare', '--name', 'cirros-3.0', '--file', file], 'admin'));
    expect(image).toMatchObject({ status: 'active', name: 'cirros-3.0', size: String(content.length) });
    const id = image['id'] as string;
    const [demo, before] = await Promise.all([c.admin('project', 'show', 'demo', '-f', 'value', '-c', 'id'), old(c, 'glance', ['image-list'])]);
    expect(before).not.toContain(id);
    expect(table(await old(c, 'glance', ['member-create', id, demo], 'admin'))).toEqual([{ 'Image ID': id, 'Member ID': demo, Status: 'pending' }]);
    expect(table(await old(c, 'glance', ['member-update', id, demo, 'accepted']))).toEqual([{ 'Image ID': id, 'Member ID': demo, Status: 'accepted' }]);
    expect(table(await old(c, 'glance', ['image-list']))).toContainEqual({ ID: id, Name: 'cirros-3.0' });
    expect(table(await old(c, 'glance', ['member-list', '--image-id', id], 'admin'))).toHaveLength(1);
    await old(c, 'glance', ['image-download', '--file', join(folder, 'downloaded'), id]);
    expect(readFileSync(join(folder, 'downloaded')).equals(content)).toBe(true);
    await old(c, 'glance', ['member-delete', id, demo], 'admin');
    expect(await old(c, 'glance', ['image-list'])).not.toContain(id);
    await old(c, 'glance', ['image-delete', id], 'admin');
  });

  test('glance task-create: an address of the host itself is refused, and the task says so', async () => {
    const c = cloud();
    let asked = 0;
    const server = createServer((socket) => { asked++; socket.destroy(); });
    const port = await new Promise<number>((resolve) => { server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)); });
    try {
      const input = { image_properties: { container_format: 'bare', disk_format: 'raw', name: 'imported' }, import_from: `http://127.0.0.1:${port}/disk.img`, import_from_format: 'raw' };
      const said = await c.client('glance', ['task-create', '--type', 'import', '--input', JSON.stringify(input)], { as: 'admin', okExitCodes: [1] });
      if (said.exitCode === 0) {
        const { id } = properties(said.stdout);
        await expect.poll(async () => properties(await old(c, 'glance', ['task-show', id as string], 'admin'))['status'], { timeout: 30_000, interval: 500 }).toBe('failure');
      }
      expect(asked).toBe(0);
      expect(await old(c, 'glance', ['image-list'], 'admin')).not.toContain('imported');
    } finally {
      server.close();
    }
  });
}
