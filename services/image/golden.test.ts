import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestImages, type TestImages } from '../../test/harness/image.ts';
import { callers } from '../../test/harness/service.ts';
import { writeNamespace } from './metadefs/service.ts';

const folder = new URL('../../../shared/peer/golden/image/', import.meta.url);
interface Exchange { readonly service: string; readonly request: { readonly method: string; readonly path: string; readonly headers: Record<string, string>; readonly body: unknown }; readonly response: { readonly status: number; readonly headers: Record<string, string>; readonly body: unknown } }

let t: TestImages;
beforeAll(async () => {
  t = await openTestImages({ CUMULET_IMAGE_SHOW_MULTIPLE_LOCATIONS: 'true', CUMULET_IMAGE_REQUIRE_FORMAT_MATCH: 'false', CUMULET_IMAGE_STORES: '[{id: file1, driver: file, path: one, default: true, description: ""}, {id: file2, driver: file, path: two, description: ""}]' });
  const property = { title: 'P', type: 'string' as const, description: 'd', enum: ['a'] };
  await t.rt.db.transaction(async trx => {
    for (const [namespace, first] of [['OS::Compute::Libvirt', 'boot_menu'], ['OS::Compute::Hypervisor', 'hypervisor_type']] as const) await writeNamespace(trx, {
      namespace, display_name: 'd', description: 'd', visibility: 'public', protected: true, resource_type_associations: [{ name: 'OS::Glance::Image', prefix: 'hw_' }], properties: { [first]: property },
    }, 'admin');
  });
});
afterAll(() => t.end());

/** Where we differ from the peer, each with its reason. */
const differs: readonly (readonly [RegExp, string])[] = [
  [/\.os_glance_stage_host$/, 'the staging area is shared, no host of it is noted'],
  [/^usage\.image_/, 'the peer had keystone limits switched off and showed none'],
  [/^stores\[\]\.(description|weight)$/, 'each site describes its stores'],
  [/^properties\.images\.items\./, 'the item is the schema of image, compared there'],
  [/namespaces?\[\]\.resource_type_associations|resource_type_associations\[\]\.(updated_at|prefix)|^namespaces\[\]\.(properties|objects|description|display_name)/, 'the recorded namespaces are others, and upstream leaves out updated_at of what was loaded from files'],
  [/updated_at$/, 'upstream leaves out updated_at of namespaces and resource types that were loaded from files and never changed'],
  [/^properties\.\w+\.(\$ref|type|minimum|maximum|default|items|additionalProperties|uniqueItems)(\.|$)/, 'our documents of metadata definitions write out what upstream refers to'],
  [/^properties\.(mem_encryption|serial_port_count|vm_mode)$/, 'properties of the recorded namespaces'],
  [/\.(minLength|propertyNames|anyOf\[\]|enum|format|properties|readonly)$/, 'our documents of metadata definitions say a little more of names and values'],
  [/^(definitions|required|additionalProperties)\b/, 'our documents write out what upstream refers to'],
  [/^(first|next)$/, 'lists are as long as what is there'],
  [/^images\[\]\.(?!name|id|status|size)[a-z_.0-9]+$/, 'custom properties of whatever image is the first of the list'],
  [/^tasks\[\]/, 'only images of this run have tasks'],
];
/** What was recorded with things around it that are not part of the recording. */
const leftOut = new Set(['task_show', 'md_namespace_list', 'import_glance_direct', 'list_page2']);
const order = ['versions_root', 'versions_v2', 'create_upload', 'show', 'list', 'list_filters', 'list_sort_limit', 'list_page1', 'list_page2', 'list_sort_multi', 'list_filter_in', 'list_filter_created', 'download', 'update_set', 'update_unset', 'update_jsonpatch', 'err_patch_bad_media', 'err_patch_badop', 'err_patch_missing',
  'err_patch_readonly', 'err_patch_member_public', 'tag_add', 'tag_delete', 'err_tag_404', 'deactivate', 'err_download_deactivated', 'reactivate', 'hide', 'list_os_hidden', 'locations', 'err_member_public', 'err_409_id', 'err_delete_protected', 'unprotect', 'create_shared', 'member_create', 'err_member_dup', 'member_accept', 'member_show', 'err_member_owner_status', 'member_list_demo', 'member_reject', 'list_member_status',
  'import_show_after', 'image_tasks', 'import_copy_image', 'copy_show_after', 'import_web_download', 'import_web_download_after', 'err_import_method', 'stage', 'stage_show', 'err_location_add', 'err_415_upload', 'err_404_private_other', 'glance_image_create', 'glance_image_show', 'glance_image_list', 'glance_image_delete'];
const names = new Map([['507972e46a0d4bb9926d68fcfbfb8f37', callers.admin.projectId as string], ['f2ba5cf3414e408291595268ef8f323f', callers.demo.projectId as string]]);
const ids = /[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}/g;
const rename = (text: string) => text.replace(ids, id => names.get(id) ?? id);

/** Images that the recording script made without recording it. */
async function before(file: string): Promise<void> {
  const octets = { 'content-type': 'application/octet-stream' };
  const make = (id: string, name: string) => t.call('admin', 'POST', '/v2/images', { id, name, disk_format: 'raw', container_format: 'bare' });
  if (file === 'err_delete_protected') await t.call('admin', 'PATCH', `/v2/images/${names.get('4dbe2b3b-dfb2-4cf4-85df-1294f2988ad9')}`, [{ op: 'replace', path: '/protected', value: true }], { 'content-type': 'application/openstack-images-v2.1-json-patch' });
  if (file === 'import_show_after') {
    const id = '5fbda2ef-205f-4889-b065-e59bf8f903c1';
    await make(id, 'gimp');
    await t.call('admin', 'PUT', `/v2/images/${id}/stage`, Buffer.alloc(6000, 'golden'), octets);
    await t.call('admin', 'POST', `/v2/images/${id}/import`, { method: { name: 'glance-direct' } });
    await t.drain();
  }
  if (file === 'copy_show_after') await t.drain();
  if (file === 'import_web_download') await make('3aa0eb2f-f98f-4aad-93ac-2a3ed8509d53', 'gweb');
  if (file === 'stage') await make('2d10c007-3c1d-48c2-bf8b-dce7f3956cd9', 'gstage');
}

test.runIf(existsSync(folder))('every recorded exchange has its like here: status, keys, types, headers', async () => {
  const wrong: string[] = [];
  const files = readdirSync(folder).map(f => f.replace('.json', '')).filter(f => !leftOut.has(f));
  const place = (f: string) => (order.includes(f) ? order.indexOf(f) : f.startsWith('md_delete') ? 999 : 500);
  for (const file of files.toSorted((a, b) => place(a) - place(b))) {
    await before(file);
    const golden = JSON.parse(readFileSync(new URL(`${file}.json`, folder), 'utf8')) as { user: 'admin' | 'demo' | null; exchanges: Exchange[] };
    for (const { request, response } of golden.exchanges.filter(e => e.service === 'image')) {
      const path = rename(request.path);
      const type = request.headers['Content-Type'];
      const text = typeof request.body === 'string' ? request.body : request.body === null ? undefined : rename(JSON.stringify(request.body));
      const upload = type === 'application/octet-stream' && request.method === 'PUT' && !path.includes('/members/');
      const mine = await t.call(golden.user ?? 'nobody' as never, request.method, path, upload ? Buffer.from(text ?? '') : text, type === undefined || text === undefined ? {} : { 'content-type': type });
      const where = `${file}: ${request.method} ${request.path}`;
      const note = (what: string) => { if (!differs.some(([pattern]) => pattern.test(what))) wrong.push(`${where}: ${what}`); };
      if (mine.status !== response.status) { wrong.push(`${where}: ${mine.status} ${JSON.stringify(mine.body)?.slice(0, 300)} instead of ${response.status}`); continue; }
      learn(response.body, mine.body);
      if (typeof response.body === 'object') compare(first(response.body), first(mine.body), '', note);
      for (const header of Object.keys(response.headers).map(h => h.toLowerCase())) if (!(header in mine.headers) && !['content-type', 'content-length', 'x-openstack-request-id'].includes(header)) note(`header ${header}`);
      for (const header of ['content-type', 'x-openstack-request-id']) if (header in mine.headers === false && response.status !== 204 && response.status !== 202 && response.body !== null && header in Object.fromEntries(Object.keys(response.headers).map(h => [h.toLowerCase(), 1]))) note(`header ${header}`);
    }
  }
  expect(wrong).toEqual([]);
});

function learn(theirs: unknown, mine: unknown): void {
  if (typeof theirs === 'string' && typeof mine === 'string') { if (/^[0-9a-f-]{36}$/.test(theirs)) names.set(theirs, mine); return; }
  if (typeof theirs !== 'object' || typeof mine !== 'object' || theirs === null || mine === null || Array.isArray(theirs)) return;
  for (const [key, value] of Object.entries(theirs)) learn(value, (mine as Record<string, unknown>)[key]);
}
/** Lists of one kind are compared by their first member. */
function first(body: unknown): unknown {
  if (typeof body !== 'object' || body === null) return body;
  return Object.fromEntries(Object.entries(body).map(([key, value]) => (Array.isArray(value) && typeof value[0] === 'object' ? [`${key}[]`, value[0]] : [key, Array.isArray(value) ? 'list' : first(value)])));
}
function compare(theirs: unknown, mine: unknown, path: string, report: (path: string) => void): void {
  if (typeof theirs !== 'object' || theirs === null) { if (theirs !== null && mine !== null && typeof theirs !== typeof mine) report(`${path} is ${typeof mine} instead of ${typeof theirs}`); return; }
  if (typeof mine !== 'object' || mine === null) { if (mine !== null) report(`${path} is no object`); return; }
  for (const key of new Set([...Object.keys(theirs), ...Object.keys(mine)])) {
    const here = path === '' ? key : `${path}.${key}`;
    if (!(key in theirs) || !(key in mine)) report(here); else compare((theirs as Record<string, unknown>)[key], (mine as Record<string, unknown>)[key], here, report);
  }
}
