import { expect, test } from 'vitest';
import type { TestCloud } from '../harness/cloud.ts';
import { json, refused } from './said.ts';

export function aboutIdentity(cloud: () => TestCloud): void {
  test('a token, the catalogue, and what a new cloud has', async () => {
    const [token, catalog, flavors, networks] = await Promise.all([
      json(cloud().openstack('token', 'issue', '-f', 'json')),
      json<{ Name: string; Type: string }[]>(cloud().openstack('catalog', 'list', '-f', 'json')),
      json<{ Name: string }[]>(cloud().openstack('flavor', 'list', '-f', 'json')),
      json<{ Name: string; Subnets: string[] }[]>(cloud().openstack('network', 'list', '-f', 'json')),
    ]);
    expect(token).toMatchObject({ project_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string, user_id: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
    expect(catalog.map((s) => s.Type).toSorted()).toEqual(['backup-catalogue', 'block-storage', 'compute', 'identity', 'image', 'network', 'operations', 'placement', 'volumev3']);
    expect(flavors.map((f) => f.Name)).toEqual(expect.arrayContaining(['m1.nano', 'm1.tiny', 'm1.small']));
    expect(networks.map((n) => n.Name).toSorted()).toEqual(['private', 'public']);
    for (const network of networks) expect(network.Subnets).toHaveLength(1);
  });

  test('what an administrator does is refused to others, with the reason', async () => {
    expect(await refused(cloud(), 'openstack', ['project', 'create', 'mine'])).toMatch(/You are not authorized to perform the requested action|Policy doesn't allow|403/);
    expect(await cloud().admin('project', 'list', '-f', 'value', '-c', 'Name')).toMatch(/demo/);
  });
}
