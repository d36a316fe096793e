import { existsSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callers } from '../../../test/harness/service.ts';
import { testCloud, type TestCloud } from '../testing.ts';

const folder = new URL('../../../../shared/peer/golden/volume/', import.meta.url);
interface Exchange { readonly request: { readonly method: string; readonly path: string; readonly headers: Record<string, string>; readonly body: unknown }; readonly response: { readonly status: number; readonly headers: Record<string, string>; readonly body: unknown } }

let c: TestCloud;
let clock: NodeJS.Timeout;
const ours = new Map<string, string>();
beforeAll(async () => {
  c = await testCloud({ backends: [{ name: 'file1' }] });
  await c.admin('PUT', `/v3/os-quota-sets/${callers.admin.projectId}`, { quota_set: { volumes: -1, gigabytes: -1 } });
  let busy = false;
  clock = setInterval(() => { if (busy) return; busy = true; void c.t.drain().finally(() => { busy = false; }); }, 20);
});
afterAll(async () => { clearInterval(clock); await new Promise(go => setTimeout(go, 100)); await c.close(); });

const rest = async () => { for (let n = 1; n > 0;) { n = Number((await c.t.rt.db('tasks').where({ live: true }).count('* as n').first() as { n: number }).n); await new Promise(go => setTimeout(go, 30)); } };
/** Backup that every call of the recording is made on, afresh, as the recording had it. */
async function situation(): Promise<void> {
  await rest();
  await c.t.rt.db('volume_backups').delete();
  await c.t.rt.db('volumes').update({ name: null });
  const make = async (body: object) => { const r = await c.admin('POST', '/v3/volumes', { volume: { size: 1, ...body } }); await rest(); return r.body.volume.id as string; };
  const [volume, small] = [await make({ name: 'gfs', size: 2 }), await make({ name: 'gfi' })];
  const backup = async (body: object) => { const r = await c.admin('POST', '/v3/backups', { backup: { volume_id: volume, ...body } }); await rest(); return r.body.backup.id as string; };
  const full = await backup({ name: 'gbk' });
  ours.set('2b9f2b9d-de6a-48ed-87b2-72c7ffa6aa82', full);
  ours.set('11111111-2222-4333-8444-555555555555', full);
  ours.set('48c3c07f-b7e4-491c-ac7b-1ffad5dc6e9f', volume);
  ours.set('0863d361-b1e4-42ff-8fca-5eda6c709c3d', small);
}
const translated = (text: string) => text.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, id => ours.get(id) ?? id).replaceAll('507972e46a0d4bb9926d68fcfbfb8f37', callers.admin.projectId as string);
/** What a body is made of: its members and their types, of lists the first. */
function form(of: unknown): unknown {
  if (Array.isArray(of)) return of.length === 0 ? [] : [form(of[0])];
  if (typeof of === 'object' && of !== null) return Object.fromEntries(Object.entries(of).map(([k, v]) => [k, k === 'metadata' ? 'object' : form(v)]));
  return of === null ? 'null' : typeof of;
}
/** Null in one and a value in the other is a matter of the moment. */
function fits(theirs: unknown, mine: unknown): boolean {
  if (theirs === 'null' || mine === 'null') return true;
  if (typeof theirs !== 'object' || typeof mine !== 'object' || theirs === null || mine === null) return theirs === mine;
  const keys = Object.keys(theirs);
  return keys.join() === Object.keys(mine).join() && keys.every(k => fits((theirs as Record<string, unknown>)[k], (mine as Record<string, unknown>)[k]));
}

const files = ['backup_show', 'backup_list', 'backups_detail', 'backup_incremental', 'backup_set', 'backup_restore', 'backup_restore_new', 'backup_export', 'backup_imported_show', 'backup_delete', 'err_backup_404', 'err_400_import_bad'];
test.skipIf(!existsSync(folder)).each(files)('%s: status, members in their order, types, messages', async file => {
  await situation();
  const { exchanges } = JSON.parse(readFileSync(new URL(`${file}.json`, folder), 'utf8')) as { exchanges: Exchange[] };
  for (const { request, response } of exchanges.filter(e => e.request.path.includes('/backups'))) {
    // Restored is the recording's second backup, which builds on the first.
    const path = translated(request.path).replace('48d01a92-f9d5-45b9-b999-a773bf28a50f', ours.get('2b9f2b9d-de6a-48ed-87b2-72c7ffa6aa82') as string);
    const version = response.headers['OpenStack-API-Version']?.replace('volume ', '');
    const mine = await c.admin(request.method, path, request.body ? JSON.parse(translated(JSON.stringify(request.body))) : undefined, version);
    await rest();
    expect(mine.status, `${request.method} ${path} ${JSON.stringify(mine.body)}`).toBe(response.status);
    if (response.status >= 400) expect(mine.body).toEqual(JSON.parse(translated(JSON.stringify(response.body))));
    else if (response.body !== null) expect(fits(form(response.body), form(mine.body)), `${request.method} ${path}: ${JSON.stringify(form(mine.body))} instead of ${JSON.stringify(form(response.body))}`).toBe(true);
  }
});
