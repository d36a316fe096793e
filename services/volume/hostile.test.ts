import type { Operation } from '@cumulet/http';
import { z } from 'zod';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { operations } from './app.ts';
import { testCloud, type TestCloud } from './testing.ts';

let c: TestCloud;
let ops: Operation[];
/** Ids of things that are there, by the name that paths and bodies use for them. */
const ids: Record<string, string> = {};
beforeAll(async () => {
  c = await testCloud();
  // Nobody waits here for a backend's answer.
  Object.assign(c.t.rt.settings.http, { requestTimeoutMs: 1 });
  await c.admin('PUT', `/v3/os-quota-sets/${'de'.repeat(16)}`, { quota_set: { volumes: -1, gigabytes: -1, snapshots: -1, groups: -1 } });
  ops = operations(c.t.rt);
  ids['volume'] = await c.volume();
  ids['snapshot'] = (await c.demo('POST', '/v3/snapshots', { snapshot: { volume_id: ids['volume'] } })).body.snapshot.id;
  ids['type'] = (await c.admin('POST', '/v3/types', { volume_type: { name: 'hostile' } })).body.volume_type.id;
  ids['qos'] = (await c.admin('POST', '/v3/qos-specs', { qos_specs: { name: 'hostile' } })).body.qos_specs.id;
  ids['group_type'] = (await c.admin('POST', '/v3/group_types', { group_type: { name: 'hostile' } }, '3.11')).body.group_type.id;
  ids['group'] = (await c.demo('POST', '/v3/groups', { group: { group_type: ids['group_type'], volume_types: [ids['type']] } }, '3.13')).body.group.id;
  ids['attachment'] = (await c.demo('POST', '/v3/attachments', { attachment: { volume_uuid: await c.volume() } }, '3.54')).body.attachment.id;
  ids['transfer'] = (await c.demo('POST', '/v3/volume-transfers', { transfer: { volume_id: await c.volume() } }, '3.55')).body.transfer.id;
  await c.t.drain();
});
afterAll(() => c.close());

const nasty: readonly unknown[] = [null, true, -1, 0, 1.5, 2 ** 31, 2 ** 53, 1e308, '', ' ', '\u0000', 'a\u0000b', '\ud800', '\u{1f4a9}'.repeat(300), "'; drop table volumes; --", '%s%n', '../../etc/passwd', '9'.repeat(400), [], [[]], [null], {}, { a: { b: [{}] } }, { __proto__: 1, constructor: 1 }];
const known = (name: string): string => {
  if (/volume_uuid|volume_id|volid|^id$|source_vol/.test(name)) return ids['volume'] as string;
  const of = Object.keys(ids).toSorted((a, b) => b.length - a.length).find(k => name.includes(k));
  return of === undefined ? ids['volume'] as string : ids[of] as string;
};

type Json = { type?: string | string[]; properties?: Record<string, Json>; additionalProperties?: Json | boolean; items?: Json; anyOf?: Json[]; oneOf?: Json[]; enum?: unknown[]; const?: unknown; required?: string[] };
/** A body that the schema could like. */
function sample(schema: Json, name: string): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const one = schema.anyOf?.[0] ?? schema.oneOf?.[0];
  if (one) return sample(one, name);
  const type = [schema.type].flat()[0];
  if (type === 'object' || schema.properties) return Object.fromEntries([...Object.entries(schema.properties ?? {}).map(([k, v]) => [k, sample(v, k)] as const), ...(schema.additionalProperties && typeof schema.additionalProperties === 'object' && !schema.properties ? [['key', sample(schema.additionalProperties, 'key')] as const] : [])]);
  if (type === 'array') return [sample(schema.items ?? {}, name)];
  if (type === 'integer' || type === 'number') return 1;
  if (type === 'boolean') return true;
  if (/_id$|_uuid$|^id$|group_type|volume_type|new_type/.test(name)) return known(name);
  return type === 'string' ? 'text' : 1;
}
/** Every place of a value, as a path. */
function* places(value: unknown, at: readonly (string | number)[] = []): Generator<readonly (string | number)[]> {
  if (at.length > 0) yield at;
  if (typeof value === 'object' && value !== null) for (const [k, v] of Object.entries(value)) yield* places(v, [...at, k]);
}
function put(value: unknown, [key, ...rest]: readonly (string | number)[], what: unknown): unknown {
  if (key === undefined) return what;
  return Array.isArray(value) ? value.map((v, i) => (String(i) === String(key) ? put(v, rest, what) : v)) : { ...value as object, [key]: put((value as Record<string, unknown>)[key], rest, what) };
}
const urlOf = (op: Operation, with_: (name: string) => string) => `/v3${op.path.replaceAll(/:(\w+)/g, (_, name: string) => encodeURIComponent(with_(name === 'id' ? op.path.split('/')[1]?.replace(/s$/, '') ?? 'id' : name)))}`;
const wrong: string[] = [];
let asked = 0;
async function ask(op: Operation, url: string, body?: unknown): Promise<void> {
  asked += 1;
  const r = await c.admin(op.method, url, body === undefined ? undefined : JSON.stringify(body), '3.71', op.method === 'GET' ? {} : { 'content-type': 'application/json' });
  if (r.status >= 500 && r.status !== 503 && r.status !== 501) wrong.push(`${op.method} ${url.slice(0, 200)} ${JSON.stringify(body)?.slice(0, 300) ?? ''}: ${r.status} ${JSON.stringify(r.body).slice(0, 200)}`);
}

test('whatever a body holds, the answer is never a 500', async () => {
  for (const op of ops.filter(o => o.body)) {
    let schema: Json = {};
    try { schema = z.toJSONSchema(op.body?.newest as z.ZodType, { io: 'input', unrepresentable: 'any' }) as Json; } catch { /* what has no schema gets an empty body */ }
    const base = sample(schema, op.id) as object;
    const body = op.action && !(op.action in base) ? { [op.action]: null, ...base } : base;
    const url = urlOf(op, known);
    await ask(op, url, body);
    for (const what of nasty) await ask(op, url, what);
    let turn = 0;
    for (const at of places(body)) for (const what of nasty) {
      // Each place gets every third of them, each in its turn: all kinds meet every operation.
      if ((turn++) % 3 !== at.length % 3) continue;
      await ask(op, url, put(body, at, what));
    }
  }
  expect(wrong).toEqual([]);
  expect(asked).toBeGreaterThan(2_000);
}, 300_000);
test('whatever a path or a query holds, the answer is never a 500', async () => {
  wrong.length = 0;
  const texts = ['\u0000', '../x', '9'.repeat(400), '\u{1f4a9}', "a'b", '%', '00000000-0000-0000-0000-000000000000', 'DEADBEEF', ' '];
  const keys = ['limit', 'offset', 'marker', 'sort', 'sort_key', 'sort_dir', 'all_tenants', 'name', 'name~', 'status', 'metadata', 'created_at', 'bootable', 'host', 'with_count', 'size', 'id', 'vol_type_id', 'group_id', 'glance_metadata', 'consumes_quota', 'migration_status', 'id~', 'resource_uuid~', 'created_at~', 'detail', 'usage', 'extra_specs', 'is_public', 'list_volume', 'cascade', 'force', 'resource_uuid'];
  for (const op of ops.filter(o => o.method !== 'POST')) {
    if (op.path.includes(':')) for (const text of texts) await ask(op, urlOf(op, () => text), op.body ? {} : undefined);
    if (op.method === 'GET') for (const [k, key] of keys.entries()) for (const [n, text] of ['', '-1', 'x', '1e999', "{'a': ", '[]', 'gt:', '99999999999999999999', 'created_at:sideways,x', ids['volume'] as string].entries()) if ((k + n) % 2 === 0 || text === 'x' || text.startsWith('9')) await ask(op, `${urlOf(op, known)}?${encodeURIComponent(key)}=${encodeURIComponent(text)}`);
  }
  expect(wrong).toEqual([]);
}, 300_000);
