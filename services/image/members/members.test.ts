import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { openTestImages, type TestImages } from '../../../test/harness/image.ts';

let t: TestImages;
beforeAll(async () => { t = await openTestImages({ CUMULET_IMAGE_MEMBER_QUOTA: '2' }); });
afterAll(() => t.end());
const other = callers.other.projectId as string;
const said = (text: string) => ({ body: { message: expect.stringContaining(text) } });
const share = (id: string, member: unknown = other, who: 'demo' | 'other' | 'admin' = 'demo') => t.call(who, 'POST', `/v2/images/${id}/members`, { member });
const lists = async (query = '') => (await t.call('other', 'GET', `/v2/images?limit=1000${query}`)).body.images.map((i: { id: string }) => i.id);

test('an image is shared, accepted, rejected and taken back', async () => {
  const id = await t.image('demo', {}, Buffer.from('secret'));
  const made = await share(id);
  expect(made).toMatchObject({ status: 200, body: { member_id: other, image_id: id, status: 'pending', schema: '/v2/schemas/member', created_at: expect.stringMatching(/Z$/) } });
  // Readable by its id before it is accepted, listed only afterwards.
  expect((await t.call('other', 'GET', `/v2/images/${id}/file`)).body).toBe('secret');
  expect(await lists()).not.toContain(id);
  expect(await lists('&visibility=shared&member_status=pending')).toContain(id);
  expect(await t.call('other', 'PUT', `/v2/images/${id}/members/${other}`, { status: 'accepted' })).toMatchObject({ status: 200, body: { status: 'accepted' } });
  expect(await lists()).toContain(id);
  expect(await lists('&member_status=all')).toContain(id);
  expect((await t.call('other', 'PUT', `/v2/images/${id}/members/${other}`, { status: 'rejected' })).status).toBe(200);
  expect(await lists()).not.toContain(id);
  expect(await lists('&member_status=rejected')).toContain(id);
  expect((await t.call('demo', 'GET', `/v2/images/${id}/members`)).body).toMatchObject({ members: [{ member_id: other }], schema: '/v2/schemas/members' });
  expect((await t.call('other', 'GET', `/v2/images/${id}/members/${other}`)).status).toBe(200);
  expect((await t.call('demo', 'DELETE', `/v2/images/${id}/members/${other}`)).status).toBe(204);
  expect((await t.call('other', 'GET', `/v2/images/${id}`)).status).toBe(404);
});
describe('refused', () => {
  let id: string;
  beforeAll(async () => { id = await t.image('demo'); await share(id); });
  test('a second time', async () => expect(await share(id)).toMatchObject({ status: 409, ...said(`Member ${other} is duplicated for image ${id}`) }));
  test('too many', async () => { await share(id, 'x'); expect(await share(id, 'y')).toMatchObject({ status: 413, ...said('Image member limit exceeded') }); });
  test('nobody', async () => {
    expect(await share(id, '')).toMatchObject({ status: 400, ...said("Member can't be empty") });
    expect(await t.call('demo', 'POST', `/v2/images/${id}/members`, {})).toMatchObject({ status: 400, ...said('Member to be added not specified') });
    expect((await share(id, { a: 1 })).status).toBe(400);
  });
  test('the owner may not accept', async () => expect(await t.call('demo', 'PUT', `/v2/images/${id}/members/${other}`, { status: 'accepted' })).toMatchObject({ status: 403, ...said("You are not permitted to modify 'status' on this image member.") }));
  test('an odd status', async () => expect((await t.call('other', 'PUT', `/v2/images/${id}/members/${other}`, { status: 'maybe' })).status).toBe(400));
  test('by the member', async () => {
    expect(await share(id, 'z', 'other')).toMatchObject({ status: 403, ...said(`Not allowed to create members for image ${id}.`) });
    expect((await t.call('other', 'DELETE', `/v2/images/${id}/members/${other}`)).status).toBe(403);
    expect((await t.call('other', 'GET', `/v2/images/${id}/members/x`)).status).toBe(404);
    expect((await t.call('other', 'GET', `/v2/images/${id}/members`)).body.members).toHaveLength(1);
  });
  test('on other visibilities', async () => {
    const open = await t.image('admin', { visibility: 'public' });
    expect(await share(open, other, 'admin')).toMatchObject({ status: 403, ...said(`Not allowed to create members for image ${open}.`) });
    expect(await t.call('admin', 'GET', `/v2/images/${open}/members`)).toMatchObject({ status: 403, ...said('Only shared images have members.') });
    const secret = await t.image('demo', { visibility: 'private' });
    expect(await share(secret, 'x', 'other')).toMatchObject({ status: 404, ...said(`Image ${secret} not found.`) });
  });
  test('an admin may do it all', async () => expect((await t.call('admin', 'PUT', `/v2/images/${id}/members/${other}`, { status: 'accepted' })).status).toBe(200));
});
