import { afterAll, beforeAll, expect, test } from 'vitest';
import { testCloud, type TestCloud } from '../../services/compute/testing/cloud.ts';
import { as } from '../harness/service.ts';
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

/** The recorded path with what stands here for what it names. */
function here(r: Recorded): string {
  const { request, response } = r.exchange;
  const shown = (response.body as { server?: { status: string; locked?: boolean } } | null)?.server;
  const server = s.servers[shown?.locked === true ? 'LOCKED' : shown?.status ?? 'ACTIVE'] ?? s.servers['ACTIVE'] ?? '';
  return request.path
    .replace(/\/[0-9a-f]{32}(?=\/|\?|$)/g, `/${s.project}`)
    .replace(new RegExp(`/servers/${id}`), response.status === 404 && r.user === 'admin' ? `/servers/${r.operation.includes('metadata') ? server : 'de305d54-75b4-431b-adb2-eb6b9e546014'}` : `/servers/${server}`)
    .replace(/\/flavors\/4[0-4](?=\/|$)/, '/flavors/nano')
    .replace(new RegExp(`/os-instance-actions/req-${id}`), `/os-instance-actions/${s.others['os-instance-actions'] ?? ''}`)
    .replace(new RegExp(`/os-volume_attachments/${id}`), `/os-volume_attachments/${s.others['os-volume_attachments'] ?? ''}`);
}

async function ask(r: Recorded) {
  const { request } = r.exchange;
  const who = r.user === null ? 'nobody' : r.user === 'alt_demo' ? 'other' : r.user;
  const headers = Object.fromEntries(['openstack-api-version', 'x-openstack-nova-api-version'].flatMap((name) => { const value = header(request.headers, name); return typeof value === 'string' ? [[name, value]] : []; }));
  return c.asking(as(c.app, who as 'admin')(request.method, here(r), undefined, undefined, headers));
}

test('what is read of compute has the status, keys, types and headers of the peer', async () => {
  const wrong: string[] = [];
  let compared = 0;
  const seen = new Set<string>();
  for (const r of recorded('compute')) {
    const { request, response } = r.exchange;
    if (request.method !== 'GET' || reasons.skipped[r.operation] !== undefined) continue;
    const key = JSON.stringify([r.operation, request.path, response.status]);
    if (seen.has(key)) continue;
    seen.add(key);
    const mine = await ask(r);
    compared++;
    const note = (what: string) => { if (!reasons.differences.some(([pattern]) => pattern.test(`${r.operation} ${what}`))) wrong.push(`${r.operation} ${request.path}: ${what}`); };
    if (mine.status !== response.status) { note(`status ${mine.status} instead of ${response.status}: ${JSON.stringify(mine.body)?.slice(0, 200)}`); continue; }
    if (response.status < 400) for (const difference of differences(response.body, mine.body, opaque)) note(difference);
    else if (typeof response.body === 'object' && response.body !== null) {
      const text = (body: unknown) => JSON.stringify(body).replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}/g, 'ID');
      if (text(mine.body) !== text(response.body)) note(`body ${text(mine.body)} instead of ${text(response.body)}`);
    }
    for (const name of Object.keys(response.headers)) if (header(mine.headers, name.toLowerCase()) === undefined) note(`header ${name.toLowerCase()} missing`);
  }
  expect(wrong, `${wrong.length} differences`).toEqual([]);
  expect(compared).toBeGreaterThan(60);
});
