import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { as, callers } from '../../test/harness/service.ts';
import { testCloud, type TestCloud } from './testing.ts';

const folder = new URL('../../../shared/peer/golden/volume/', import.meta.url);
interface Exchange { readonly service: string; readonly request: { readonly method: string; readonly path: string; readonly headers: Record<string, string>; readonly body: unknown }; readonly response: { readonly status: number; readonly headers: Record<string, string>; readonly body: unknown } }

let c: TestCloud;
const ids = new Map<string, string>();
/** What the recording holds, under the same names; what these calls do to it is asked of the newest version, which has every member. */
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'file1', volumeBackendName: 'file' }, { name: 'file2', volumeBackendName: 'file2' }, { name: 'fake1', volumeBackendName: 'fake' }] });
  for (const name of ['file', 'file2', 'fake', 'gtype']) await c.admin('POST', '/v3/types', { volume_type: { name, extra_specs: name === 'gtype' ? { x: 'y', k: 'v' } : { volume_backend_name: name } } });
  await c.admin('PUT', '/v3/os-quota-class-sets/default', { quota_class_set: { volumes: -1, gigabytes: -1 } });
  const volume = async (name: string, body: object = {}) => { const r = await c.admin('POST', '/v3/volumes', { volume: { size: 1, name, volume_type: 'file', ...body } }, '3.13'); await c.t.drain(); return r.body.volume.id as string; };
  const [gvol] = [await volume('gvol', { description: 'd', metadata: { a: 'b' } }), await volume('gclone'), await volume('gfs'), await volume('gcc')];
  await volume('gbig', { size: 999_999 });
  await c.admin('POST', '/v3/snapshots', { snapshot: { volume_id: gvol, name: 'gsnap', metadata: { a: 'b' } } });
  await c.admin('POST', '/v3/qos-specs', { qos_specs: { name: 'gqos', consumer: 'front-end', read_iops_sec: '100' } });
  await c.t.drain();
  const kind = (await c.admin('POST', '/v3/group_types', { group_type: { name: 'ggt', group_specs: { consistent_group_snapshot_enabled: '<is> False' } } }, '3.11')).body.group_type.id;
  const group = (await c.admin('POST', '/v3/groups', { group: { name: 'gg', group_type: kind, volume_types: [(await c.admin('GET', '/v3/types?name=file')).body.volume_types[0].id] } }, '3.13')).body.group.id;
  await volume('gingrp', { group_id: group });
  await c.admin('POST', '/v3/group_snapshots', { group_snapshot: { group_id: group, name: 'ggs' } }, '3.14');
  await c.t.drain();
});
afterAll(() => c.close());

/** Members that only one of the two has, with the reason. `list[]` is a list's first member. */
const differs: readonly (readonly [RegExp, string])[] = [
  [/capabilities\.(driver|can|total_volumes|vendor_name|multiattach|sparse_copy_volume|thick_provisioning_support|QoS_support|encryption_support|driver_version|storage_protocol|filter_function|goodness_function)$/, 'each driver reports capabilities of its own'],
  [/metadata\.\w+$/, 'the contents of the recording at that moment'], [/extra_specs\.\w+$/, 'the contents of the recording at that moment'], [/attachments\.0/, 'the contents of the recording at that moment'],
  [/quota_set\.\w+_(fake|file2?|gtype|__DEFAULT__|genc|gpriv|two|lvm\w*)(\.\w+)?$/, 'a quota for each type that there is'], [/quota_class_set\.\w+_(fake|file2?|gtype|genc|gpriv|__DEFAULT__)$/, 'a quota for each type that there is'], [/^(cgsnapshots|messages)\[\] is object/, 'the recording had none at that moment'],
  [/services\[\]\.(replication_status|active_backend_id|frozen)$/, 'the first service of the recording is cinder-backup, here the scheduler'], [/log_levels\[\]\.levels\./, 'one logger, not a tree of Python modules'],
  [/volumes\[\]\.volume_image_metadata|volume\.volume_image_metadata/, 'the contents of the recording at that moment'], [/metadata$/, 'types of values'],
];
const files = [
  'versions_root versions_v3 extensions list show cinder_list list_brief detail detail_page detail_filters show_mv_3.0 show_mv_3.13 show_mv_3.65 show_mv_3.70 metadata_list image_metadata_set image_metadata_unset set_bootable',
  'set_readonly set_readonly_off err_unknown_action snapshot_list snapshot_show snapshots_detail snapshot_metadata snapshot_set err_400_delete_with_snap create_from_snapshot create_clone type_list type_show type_set type_unset cinder_type_key',
  'cinder_extra_specs type_default type_extra_specs type_access_private type_encryption qos_list qos_associate qos_set transfer_create transfer_list transfer_show show_awaiting_transfer err_404_transfer pools services az_list limits',
  'limits_raw quota_show quota_usage quota_set quota_defaults quota_class hosts log_levels default_type_set default_type_unset group_type_list group_specs group_show group_snapshot_list group_snapshot_show group_from_src cg_list cg_create',
  'cgsnapshots group_list_cli messages message_show message_list show_error_no_host err_403_services err_403_type_create err_404_other_project err_404_route err_404_type err_400_size err_400_size0 err_400_nobody',
  'err_400_extra err_404_image err_400_mv err_404_mv_too_low err_400_marker err_400_sort err_400_quota_below_usage manage_bad_host err_400_reset cinder_create cinder_extend',
].join(' ').split(' ');

test.skipIf(!existsSync(folder))('recorded exchanges have their like here: status, members, types, messages', async () => {
  const wrong: string[] = [];
  let compared = 0;
  await meet();
  for (const file of files) {
    const golden = JSON.parse(readFileSync(new URL(`${file}.json`, folder), 'utf8')) as { user: string | null; exchanges: Exchange[] };
    for (const e of golden.exchanges.filter(x => x.service === 'volume')) {
      const { method, path: theirPath, headers, body } = e.request;
      if ((theirPath === '/' || theirPath === '/v3/') && !file.startsWith('versions')) continue;
      const who = golden.user === null || file === 'versions_v3' ? 'nobody' as never : golden.user === 'admin' ? 'admin' : 'demo';
      const text = (t: string) => renamed(t).replaceAll(/507972e46a0d4bb9926d68fcfbfb8f37/g, callers.admin.projectId as string).replaceAll(/f2ba5cf3414e408291595268ef8f323f/g, callers.demo.projectId as string).replaceAll('peer@', 'testhost@');
      const version = headers['OpenStack-API-Version']?.replace('volume ', '') ?? (e.response.headers['OpenStack-API-Version'] ?? '').replace('volume ', '') ?? '';
      const asked = file === 'err_400_mv' ? 'abc' : version === '' ? undefined : version;
      const mine = await as(c.app, who, 'volume')(method, text(theirPath), body === null || body === '' ? undefined : JSON.parse(text(JSON.stringify(body))), asked);
      await c.t.drain();
      await meet();
      compared += 1;
      const where = `${file}: ${method} ${theirPath.replace(/\/v3\/[0-9a-f]{32}/, '')}`;
      if (mine.status !== e.response.status) { wrong.push(`${where}: ${mine.status} ${JSON.stringify(mine.body)?.slice(0, 200)} instead of ${e.response.status}`); continue; }
      if (mine.status >= 400) { const say = (b: unknown) => text(JSON.stringify(b)).replaceAll(/[0-9a-f-]{36}|req-\S+|is \d+ and/g, '*').replaceAll(/currently \w+/g, '*'); if (say(e.response.body) !== say(mine.body)) wrong.push(`${where}: ${JSON.stringify(mine.body)} instead of ${JSON.stringify(e.response.body)}`); continue; }
      compare(first(e.response.body), first(mine.body), '', path => { if (!differs.some(([pattern]) => pattern.test(path))) wrong.push(`${where}: ${path}`); });
    }
  }
  expect(wrong).toEqual([]);
  expect(compared).toBeGreaterThan(120);
});

const recorded = new Map<string, string>();      // kind/name -> id in the recording
/** Ids of the recording are those of our rows of the same name. */
async function meet(): Promise<void> {
  if (recorded.size === 0) for (const file of files) for (const e of (JSON.parse(readFileSync(new URL(`${file}.json`, folder), 'utf8')) as { exchanges: Exchange[] }).exchanges) for (const [key, value] of Object.entries((e.response.body ?? {}) as Record<string, unknown>)) {
    for (const one of [value].flat() as { id?: string; name?: string }[]) if (one?.id && one.name) recorded.set(`${key.replace(/s$/, '')}/${one.name}`, one.id);
  }
  const tables: Record<string, string> = { volume: 'volumes', snapshot: 'volume_snapshots', volume_type: 'volume_types', qos_spec: 'volume_qos_specs', transfer: 'volume_transfers', group: 'volume_groups', group_type: 'volume_group_types', group_snapshot: 'volume_group_snapshots' };
  for (const [kind, table] of Object.entries(tables)) for (const row of await c.t.rt.db(table).select('id', 'name') as { id: string; name: string }[]) { const theirs = recorded.get(`${kind}/${row.name}`); if (theirs) ids.set(theirs, row.id); }
  const message: { id: string } | undefined = await c.t.rt.db('volume_messages').first('id');
  if (message) ids.set('22a1dcd5-1c89-49f4-bae9-6683287a12bf', message.id);
  const [big] = await c.t.rt.db('volumes').where({ name: 'gbig' }).select('id') as { id: string }[];
  if (big) ids.set('f92f165f-e16d-4a99-83de-0de0ded6ee63', big.id);
}
const renamed = (text: string) => text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, id => ids.get(id) ?? id);
/** Lists are compared by their first member. */
function first(body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body;
  return Object.fromEntries(Object.entries(body).map(([key, value]) => (Array.isArray(value) ? [`${key}[]`, value[0]] : [key, first(value)])));
}
function compare(theirs: unknown, mine: unknown, path: string, report: (path: string) => void): void {
  if (typeof theirs !== 'object' || theirs === null) { if (theirs !== null && mine !== null && mine !== undefined && typeof theirs !== typeof mine) report(`${path} is ${typeof mine} instead of ${typeof theirs}`); return; }
  if (typeof mine !== 'object' || mine === null) { if (mine !== null && mine !== undefined) report(`${path} is no object`); return; }
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const here = path === '' ? key : `${path}.${key}`;
    if (!(key in theirs) || !(key in mine)) report(here);
    else compare((theirs as Record<string, unknown>)[key], (mine as Record<string, unknown>)[key], here, report);
  }
}
