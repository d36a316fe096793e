import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';
import { loadMetadefs, metadefFolder } from './load.ts';

let t: TestImages;
beforeAll(async () => { t = await openTestImages(); });
afterAll(() => t.end());
const admin = (method: string, path: string, body?: unknown, headers?: Record<string, string>) => t.call('admin', method, `/v2/metadefs${path}`, body, headers);
const property = { title: 'Cores', type: 'integer', minimum: 1 };

test('a namespace with all that is in it', async () => {
  const made = await admin('POST', '/namespaces', { namespace: 'A::B', display_name: 'x', visibility: 'public', resource_type_associations: [{ name: 'OS::Nova::Flavor', prefix: 'hw:' }], properties: { cores: property }, objects: [{ name: 'o', properties: { p: property } }], tags: [{ name: 't' }] });
  expect(made).toMatchObject({ status: 201, headers: { location: expect.stringMatching(/\/v2\/metadefs\/namespaces\/A::B$/) }, body: { namespace: 'A::B', protected: false, resource_type_associations: [{ name: 'OS::Nova::Flavor', prefix: 'hw:' }], properties: { cores: property }, objects: [{ name: 'o' }], tags: [{ name: 't' }], self: '/v2/metadefs/namespaces/A::B', schema: '/v2/schemas/metadefs/namespace' } });
  expect((await admin('POST', '/namespaces', { namespace: 'A::B' })).status).toBe(409);
  expect((await t.call('demo', 'GET', '/v2/metadefs/namespaces/A::B')).body.properties).toHaveProperty('cores');
  expect((await t.call('demo', 'GET', '/v2/metadefs/namespaces/A::B?resource_type=OS::Nova::Flavor')).body.properties).toHaveProperty('hw:cores');
  expect((await t.call('demo', 'GET', '/v2/metadefs/namespaces/A::B/properties/hw:cores?resource_type=OS::Nova::Flavor')).body).toMatchObject({ name: 'hw:cores', title: 'Cores' });
  expect((await t.call('demo', 'GET', '/v2/metadefs/namespaces?resource_types=OS::Nova::Flavor')).body).toMatchObject({ namespaces: [{ namespace: 'A::B' }], first: '/v2/metadefs/namespaces?resource_types=OS%3A%3ANova%3A%3AFlavor', schema: '/v2/schemas/metadefs/namespaces' });
  expect((await t.call('demo', 'PUT', '/v2/metadefs/namespaces/A::B', { namespace: 'A::B' })).status).toBe(403);
  expect(await admin('PUT', '/namespaces/A::B', { namespace: 'A::C', protected: true, visibility: 'private' })).toMatchObject({ status: 200, body: { namespace: 'A::C', protected: true } });
  expect((await t.call('demo', 'GET', '/v2/metadefs/namespaces/A::C')).status).toBe(404);
  for (const path of ['', '/objects/o', '/objects', '/properties/cores', '/tags/t', '/resource_types/OS::Nova::Flavor']) expect((await admin('DELETE', `/namespaces/A::C${path}`)).status, path).toBe(403);
  await admin('PUT', '/namespaces/A::C', { namespace: 'A::C', protected: false });
  expect((await admin('DELETE', '/namespaces/A::C')).status).toBe(204);
  expect((await admin('GET', '/namespaces/A::C')).status).toBe(404);
});
test.each([
  ['objects', { name: 'one', description: 'd', properties: { p: property } }, { name: 'two' }], ['properties', { name: 'one', ...property }, { name: 'two', title: 'T', type: 'string' }],
] as const)('%s', async (kind, first, second) => {
  const base = `/namespaces/K::${kind}`;
  await admin('POST', '/namespaces', { namespace: `K::${kind}`, visibility: 'public' });
  expect(await admin('POST', `${base}/${kind}`, first)).toMatchObject({ status: 201, body: { name: 'one' } });
  expect((await admin('POST', `${base}/${kind}`, first)).status).toBe(409);
  expect((await admin('POST', `${base}/${kind}`, { bogus: 1 })).status).toBe(400);
  expect((await t.call('demo', 'POST', `/v2/metadefs${base}/${kind}`, first)).status).toBe(403);
  expect(await admin('PUT', `${base}/${kind}/one`, second)).toMatchObject({ status: 200, body: { name: 'two' } });
  expect((await admin('GET', `${base}/${kind}/one`)).status).toBe(404);
  expect((await admin('GET', `${base}/${kind}/two`)).body).toMatchObject({ name: 'two' });
  expect(JSON.stringify((await admin('GET', `${base}/${kind}`)).body)).toContain('two');
  expect((await admin('DELETE', `${base}/${kind}/two`)).status).toBe(204);
  expect((await admin('DELETE', `${base}/${kind}/two`)).status).toBe(404);
});
test('tags', async () => {
  await admin('POST', '/namespaces', { namespace: 'T' });
  expect((await admin('POST', '/namespaces/T/tags', { tags: [{ name: 'a' }, { name: 'b' }] })).status).toBe(201);
  expect((await admin('POST', '/namespaces/T/tags', { tags: [{ name: 'c' }] }, { 'x-openstack-append': 'True' })).status).toBe(201);
  expect((await admin('POST', '/namespaces/T/tags/d')).body).toMatchObject({ name: 'd' });
  expect((await admin('PUT', '/namespaces/T/tags/d', { name: 'e' })).body).toMatchObject({ name: 'e' });
  expect((await admin('GET', '/namespaces/T/tags')).body.tags.map((x: { name: string }) => x.name).toSorted()).toEqual(['a', 'b', 'c', 'e']);
  const listed = async (query: string) => (await admin('GET', `/namespaces/T/tags?${query}`)).body.tags.map((x: { name: string }) => x.name);
  expect(await listed('sort_key=name&sort_dir=asc')).toEqual(['a', 'b', 'c', 'e']);
  expect(await listed('sort_key=name&limit=2')).toEqual(['e', 'c']);
  expect(await listed('sort_key=name&limit=2&marker=c')).toEqual(['b', 'a']);
  expect((await listed('limit=1')).concat(await listed(`marker=${(await listed('limit=1'))[0]}`)).toSorted()).toEqual(['a', 'b', 'c', 'e']);
  for (const [bad, status] of [['limit=x', 400], ['limit=-1', 400], ['sort_dir=up', 400], ['sort_key=definition', 400], ['marker=none', 404]] as const) expect((await admin('GET', `/namespaces/T/tags?${bad}`)).status, bad).toBe(status);
  expect((await admin('DELETE', '/namespaces/T/tags')).status).toBe(204);
  expect((await admin('GET', '/namespaces/T/tags')).body).toEqual({ tags: [] });
});
test('kinds of resource', async () => {
  await admin('POST', '/namespaces', { namespace: 'R' });
  expect((await t.call('demo', 'GET', '/v2/metadefs/resource_types')).body.resource_types.map((r: { name: string }) => r.name)).toContain('OS::Glance::Image');
  expect((await admin('POST', '/namespaces/R/resource_types', { name: 'OS::Glance::Image', prefix: 'hw_' })).status).toBe(201);
  expect((await admin('POST', '/namespaces/R/resource_types', { name: 'OS::Glance::Image' })).status).toBe(409);
  expect((await admin('GET', '/namespaces/R/resource_types')).body).toMatchObject({ resource_type_associations: [{ name: 'OS::Glance::Image', prefix: 'hw_' }] });
  expect((await admin('DELETE', '/namespaces/R/resource_types/OS::Glance::Image')).status).toBe(204);
  expect((await admin('DELETE', '/namespaces/R/resource_types/OS::Glance::Image')).status).toBe(404);
});
test('pages and schemas', async () => {
  const seen: string[] = [];
  let next: string | undefined = '/namespaces?limit=2';
  while (next !== undefined) { const page: { namespaces: { namespace: string }[]; next?: string } = (await admin('GET', next)).body; seen.push(...page.namespaces.map(n => n.namespace)); next = page.next?.replace('/v2/metadefs', ''); }
  expect(new Set(seen).size).toBe(seen.length);
  expect(seen).toEqual(expect.arrayContaining(['T', 'R']));
  expect((await t.call('demo', 'GET', '/v2/schemas/metadefs/resource_types')).body.name).toBe('resource_type_associations');
});
test('namespaces are loaded from a folder, once; those that were deleted when asked for again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'metadefs-'));
  // The form of upstream's files: what is in a namespace, with properties of objects and tags.
  writeFileSync(join(folder, 'a.json'), JSON.stringify({
    namespace: 'L', display_name: 'Long', description: 'd', visibility: 'public', protected: true, owner: 'x', resource_type_associations: [{ name: 'OS::Glance::Image', prefix: 'hw_' }, { name: 'OS::Cinder::Volume', properties_target: 'image' }],
    properties: { p: property, list: { title: 'L', description: 'd', type: 'array', items: { type: 'string', enum: ['a'] }, uniqueItems: true, operators: ['<in>'] } }, objects: [{ name: 'o', description: 'd', required: [], properties: { q: { ...property, default: 1 } } }], tags: [{ name: 't' }],
  }));
  writeFileSync(join(folder, 'b.json'), '{');
  writeFileSync(join(folder, 'README'), 'none');
  expect(await metadefFolder(undefined, [join(folder, 'none'), folder])).toBe(folder);
  expect(await metadefFolder(undefined, [])).toBeUndefined();
  expect(await metadefFolder('/named', [folder])).toBe('/named');
  expect(await loadMetadefs(t.rt, folder, 'admin')).toBe(1);
  expect(await loadMetadefs(t.rt, folder, 'admin', { again: true })).toBe(0);
  const shown = async () => (await t.call('demo', 'GET', '/v2/metadefs/namespaces/L')).body;
  expect(await shown()).toMatchObject({ owner: 'admin', protected: true, properties: { p: property }, objects: [{ name: 'o', properties: { q: { default: 1 } } }], tags: [{ name: 't' }], resource_type_associations: [{ name: 'OS::Cinder::Volume', properties_target: 'image' }, { name: 'OS::Glance::Image', prefix: 'hw_' }] });
  await admin('PUT', '/namespaces/L', { namespace: 'L', protected: false });
  expect((await admin('DELETE', '/namespaces/L')).status).toBe(204);
  expect(await loadMetadefs(t.rt, folder, 'admin')).toBe(0);
  expect(await loadMetadefs(t.rt, folder, 'admin', { again: true })).toBe(1);
  expect(await shown()).toMatchObject({ namespace: 'L', protected: true });
  rmSync(folder, { recursive: true });
});
