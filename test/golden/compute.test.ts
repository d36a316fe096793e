import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCloud, type TestCloud } from '../../services/compute/testing/cloud.ts';
import { as, callers } from '../harness/service.ts';
import { reasons } from './reasons.ts';
import { differences, header, recorded, type Recorded } from './recorded.ts';
import { situation, type Situation } from './situation.ts';

let c: TestCloud;
let s: Situation;
beforeAll(async () => {
  c = await testCloud();
  s = await situation(c);
});
afterAll(() => c?.close());

/** Maps whose keys are data. */
const opaque = new Set(['metadata', 'extra_specs', 'properties', 'addresses', 'specs', 'group_specs', 'capabilities', 'hosts', 'volume_image_metadata']);
const id = '[0-9a-f]{8}-[0-9a-f-]{27}';

/** The recorded server is one in the state that the recording shows or speaks of. */
function serverOf(r: Recorded): string {
  const shown = (r.exchange.response.body as { server?: { status: string; locked?: boolean } } | null)?.server;
  const state = shown?.locked === true || (r.user === 'demo' && r.exchange.request.method !== 'GET') ? 'LOCKED' : /shelved|shelve_offload/.test(r.operation) ? 'SHELVED_OFFLOADED' : shown?.status ?? 'ACTIVE';
  return s.servers[state] ?? s.servers['ACTIVE'] ?? '';
}
/** The recorded path with what stands here for what it names. */
function here(r: Recorded): string {
  const { request, response } = r.exchange;
  const absent = request.method === 'GET' && response.status === 404 && r.user === 'admin' && !r.operation.includes('metadata');
  return request.path
    .replace(peer.demo, callers.demo.projectId ?? '').replace(/\/[0-9a-f]{32}(?=\/|\?|$)/g, (all) => (all === `/${callers.demo.projectId ?? ''}` ? all : `/${s.project}`))
    .replace(new RegExp(`/servers/${id}`), `/servers/${absent ? 'de305d54-75b4-431b-adb2-eb6b9e546014' : serverOf(r)}`)
    .replace(/\/flavors\/4[0-4](?=\/|$)/, '/flavors/nano')
    .replace(new RegExp(`/os-instance-actions/req-${id}`), `/os-instance-actions/${s.others['os-instance-actions'] ?? ''}`)
    .replace(new RegExp(`/os-volume_attachments/${id}`), `/os-volume_attachments/${s.others['os-volume_attachments'] ?? ''}`);
}
/** What the recordings call things: the demo project, the image, the network, the volume that is attached. */
const peer = { demo: 'f2ba5cf3414e408291595268ef8f323f', image: '72e7a2cf-54cb-40fe-889e-bc53c37ab267', network: '38874316-c4ca-47f6-90b5-7bdc224832c2', volume: '7e16319c-777b-40ff-abae-709cc13678bd' };
const bodyOf = (r: Recorded): unknown => {
  const { body } = r.exchange.request;
  if (body === null || typeof body === 'string') return body ?? undefined;
  return JSON.parse(JSON.stringify(body).replaceAll(peer.image, s.image).replaceAll(peer.network, c.networkId).replaceAll(peer.volume, s.others['os-volume_attachments'] ?? '').replaceAll(/"flavorRef":"4\d"/g, '"flavorRef":"nano"')) as unknown;
};

async function ask(r: Recorded) {
  const { request } = r.exchange;
  const who = r.user === null ? 'nobody' : r.user === 'alt_demo' ? 'other' : r.user;
  const headers = Object.fromEntries(['openstack-api-version', 'x-openstack-nova-api-version', 'content-type'].flatMap((name) => { const value = header(request.headers, name); return typeof value === 'string' ? [[name, value]] : []; }));
  return c.asking(as(c.app, who as 'admin')(request.method, here(r), bodyOf(r), undefined, headers));
}
/** Texts of errors without what is named differently here. */
const text = (body: unknown) => JSON.stringify(body).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}/g, 'ID').replaceAll(/'flavorRef': '\w+'/g, "'flavorRef': 'FLAVOR'").replaceAll(/compute1|testhost/g, 'HOST');

test.each(['read', 'refused'] as const)('what is %s by compute has the status, keys, types, headers and words of the peer', async (what) => {
  const wrong: string[] = [];
  let compared = 0;
  const seen = new Set<string>();
  for (const r of recorded('compute')) {
    const { request, response } = r.exchange;
    if ((request.method === 'GET') !== (what === 'read') || (what === 'refused' && response.status < 400) || reasons.skipped[r.operation] !== undefined) continue;
    const key = JSON.stringify([r.operation, request.path, response.status]);
    if (seen.has(key)) continue;
    seen.add(key);
    const mine = await ask(r);
    compared++;
    const note = (what: string) => { if (!reasons.differences.some(([pattern]) => pattern.test(`${r.operation} ${what}`))) wrong.push(`${r.operation} ${request.path}: ${what}`); };
    if (mine.status !== response.status) { note(`status ${mine.status} instead of ${response.status}: ${JSON.stringify(mine.body)?.slice(0, 200)}`); continue; }
    if (response.status < 400) for (const difference of differences(response.body, mine.body, opaque)) note(difference);
    else if (typeof response.body === 'object' && response.body !== null && text(mine.body) !== text(response.body)) note(`body ${text(mine.body)} instead of ${text(response.body)}`);
    for (const name of Object.keys(response.headers)) if (header(mine.headers, name.toLowerCase()) === undefined) note(`header ${name.toLowerCase()} missing`);
  }
  expect(wrong, `${wrong.length} differences`).toEqual([]);
  expect(compared).toBeGreaterThan(what === 'read' ? 80 : 20);
});
