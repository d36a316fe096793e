import { createHash, randomBytes } from 'node:crypto';
import { closeSync, createReadStream, existsSync, fsyncSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { importBackupPlan } from '../../services/volume/backups/record_plans.ts';
import { openSwift } from '../../packages/drivers/swift/index.ts';
import { plainCall } from '../../packages/drivers/index.ts';
import { catalogue } from '../clients/backups.ts';
import { old, properties } from '../clients/said.ts';
import { faultyCloud, type FaultyCloud } from '../faults/cloud.ts';
import { killedAtEachPoint, pointsOf } from '../faults/kill.ts';
import { Points } from '../faults/points.ts';
import { eventually } from '../harness/processes.ts';
import { startSwift, type RealSwift } from './swift.ts';

// Whole clouds that back up to a directory and to a real Swift. Worker processes are killed in the midst of it, objects rot, and the unmodified
// clients watch: nothing stays stuck, and what is `available` restores bit for bit.
const MiB = 1 << 20;
const BYTES = 160 * MiB;
const call = plainCall();
const home = mkdtempSync('/tmp/cumulet-cloud-backups-');
afterAll(() => { rmSync(home, { recursive: true, force: true }); });

/** The objects of a target, by their full names. */
interface Held { names(): Promise<string[]>; read(name: string): Promise<Buffer>; write(name: string, bytes: Buffer): Promise<void> }

const directory = (folder: string): Held => ({
  names: async () => (existsSync(folder) ? readdirSync(folder, { recursive: true }).map(String).filter(name => statSync(join(folder, name), { throwIfNoEntry: false })?.isFile()) : []),
  read: async name => readFileSync(join(folder, name)),
  write: async (name, bytes) => { writeFileSync(join(folder, name), bytes); },
});
const account = (swift: RealSwift): Held => {
  const client = openSwift({ authUrl: swift.authUrl, user: swift.user, key: swift.key });
  return {
    async names() { const names: string[] = []; for await (const { name } of client.list(call, 'volumebackups')) names.push(name); return names; },
    read: async name => Buffer.concat(await (await client.get(call, 'volumebackups', name)).body.toArray()),
    write: async (name, bytes) => { await client.put(call, 'volumebackups', name, bytes); },
  };
};

describe.each(['posix', 'swift'] as const)('backups to %s', (driver) => {
  let f: FaultyCloud;
  let points: Points;
  let swift: RealSwift | undefined;
  let held: Held;
  let volume = '';
  let content = '';
  const folder = join(home, driver);
  beforeAll(async () => {
    if (driver === 'swift') swift = await startSwift(join(home, 'swift-server'));
    held = swift ? account(swift) : directory(folder);
    // Small objects, so that there is a midst.
    const target = { name: 'target', driver, objectBytes: 2 * MiB, ...(swift ? { container: 'volumebackups', swift: { authUrl: swift.authUrl, user: swift.user, key: swift.key } } : { path: folder, shared: true }) };
    f = await faultyCloud({ CUMULET_BACKUP_TARGETS: JSON.stringify([target]), CUMULET_BACKUP_SCHEDULE_SECONDS: '1' });
    points = new Points(f.db());
    await points.install();
    volume = await made('volume', 'create', '--size', '1', 'data');
    await watched('volume', volume, ['creating'], 'available');
    write(volume, randomBytes(BYTES));
    content = await sum(volume);
  });
  afterAll(async () => {
    await f?.end();
    await swift?.stop();
  });

  const made = async (...command: string[]): Promise<string> => (JSON.parse(await f.cloud.admin(...command, '-f', 'json')) as { id: string }).id;
  const file = (id: string) => join(f.cloud.home, 'volumes', readdirSync(join(f.cloud.home, 'volumes'), { recursive: true }).map(String).find(n => n.endsWith(`volume-${id}`)) ?? '');
  const write = (id: string, bytes: Buffer) => { const to = openSync(file(id), 'r+'); try { writeSync(to, bytes, 0, bytes.length, 0); fsyncSync(to); } finally { closeSync(to); } };
  const bytesAt = (id: string, at: number, length: number) => { const got = Buffer.alloc(length); const from = openSync(file(id), 'r'); try { readSync(from, got, 0, length, at); } finally { closeSync(from); } return got; };
  const sum = async (id: string) => { const hash = createHash('sha256'); for await (const piece of createReadStream(file(id), { end: BYTES + MiB })) hash.update(piece as Buffer); return hash.digest('hex'); };
  /** By the client, again and again: nothing but `between` is seen until it is `end`. */
  const watched = (kind: 'volume' | 'volume backup', id: string, between: readonly string[], end: string) => eventually(async () => {
    const status = await f.cloud.admin(...kind.split(' '), 'show', id, '-f', 'value', '-c', 'status');
    expect([...between, end]).toContain(status);
    return status === end;
  }, 240_000, `${kind} ${id} ${end}`);
  const killWorker = () => f.cloud.kill('worker');
  const restored = async (backup: string): Promise<string> => {
    const { volume_id: id = '' } = properties(await old(f.cloud, 'cinder', ['backup-restore', backup], 'admin'));
    await watched('volume', id, ['creating', 'restoring-backup'], 'available');
    await watched('volume backup', backup, ['restoring'], 'available');
    return id;
  };
  let backup = '';

  test('kill -9 in the midst of a backup: it is taken up again, and restores', async () => {
    backup = await made('volume', 'backup', 'create', '--name', 'killed', volume);
    const data = async () => (await held.names()).filter(name => /_backup_[0-9a-f-]{36}-\d{5}$/.test(name)).length;
    await eventually(async () => await data() >= 12, 120_000, 'some objects');
    expect((await held.names()).some(name => name.endsWith('_metadata'))).toBe(false);
    await killWorker();
    await watched('volume backup', backup, ['creating'], 'available');
    await watched('volume', volume, ['backing-up'], 'available');
    // Another worker took it up; how little of it is read again is for the tests beside the code, which have a clock of their own.
    const { fence } = await f.db()('tasks').where({ plan: 'backup.create', resource_id: backup }).first('fence') as { fence: number };
    expect(Number(fence)).toBeGreaterThan(1);
    expect(await sum(await restored(backup))).toBe(content);
    await f.settled();
  });

  test.each(['a new volume', 'a volume that is full of something else'])('kill -9 in the midst of a restore into %s', async (into) => {
    let id = '';
    if (into === 'a new volume') id = properties(await old(f.cloud, 'cinder', ['backup-restore', backup], 'admin'))['volume_id'] as string;
    else {
      id = await made('volume', 'create', '--size', '1', 'full');
      await watched('volume', id, ['creating'], 'available');
      write(id, Buffer.alloc(BYTES + MiB, 0xaa));
      await old(f.cloud, 'cinder', ['backup-restore', '--volume', id, backup], 'admin');
    }
    // The first and not the last of it is there.
    const same = (at: number) => bytesAt(id, at, 4096).equals(bytesAt(volume, at, 4096));
    await eventually(() => file(id).includes(id) && same(10 * MiB), 120_000, 'some of it');
    const whole = same(BYTES - MiB);
    await killWorker();
    expect(whole).toBe(false);
    await watched('volume', id, ['creating', 'restoring-backup'], 'available');
    await watched('volume backup', backup, ['restoring'], 'available');
    expect(await sum(id)).toBe(content);
    await f.settled();
  });

  test('kill -9 at each step of an import: the record is there, and restores', async () => {
    const record = properties(await old(f.cloud, 'cinder', ['backup-export', backup], 'admin'));
    const before = (await held.names()).toSorted();
    const change = (id: string) => Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(record['backup_url'] ?? '', 'base64').toString()) as object, id })).toString('base64');
    const ids = pointsOf(importBackupPlan).map(() => crypto.randomUUID());
    await killedAtEachPoint(f, points, 'worker', importBackupPlan, async (n) => { await old(f.cloud, 'cinder', ['backup-import', record['backup_service'] ?? '', change(ids[n] ?? '')], 'admin'); });
    for (const id of ids) await watched('volume backup', id, ['creating'], 'available');
    expect(await sum(await restored(ids[0] ?? ''))).toBe(content);
    for (const id of ids) await f.cloud.admin('volume', 'backup', 'delete', id);
    await f.settled();
    expect((await held.names()).toSorted()).toEqual(before);
  });

  test('a flipped bit: named, refused, and taken back when it is mended', async () => {
    const names = await held.names();
    const name = names.find(n => /_backup_[0-9a-f-]{36}-00007$/.test(n)) ?? '';
    const bytes = await held.read(name);
    const rotten = Buffer.from(bytes);
    rotten[100] = (rotten[100] ?? 0) ^ 4;
    await held.write(name, rotten);
    const { volume_id: broken = '' } = properties(await old(f.cloud, 'cinder', ['backup-restore', backup], 'admin'));
    await watched('volume', broken, ['creating', 'restoring-backup'], 'error_restoring');
    const verify = async () => { await catalogue(f.cloud, 'POST', `/backups/${backup}/verify`, {}); await f.settled(); };
    await verify();
    const { status, fail_reason: reason } = JSON.parse(await f.cloud.admin('volume', 'backup', 'show', backup, '-f', 'json')) as { status: string; fail_reason: string };
    expect({ status, reason }).toEqual({ status: 'error', reason: expect.stringContaining(name.split('/').at(-1) ?? '') });
    await held.write(name, bytes);
    await verify();
    await watched('volume backup', backup, [], 'available');
    expect(await sum(await restored(backup))).toBe(content);
  });

  test('schedules: made by themselves, in chains, and the expired ones go with their objects', async () => {
    const small = await made('volume', 'create', '--size', '1', 'scheduled');
    await watched('volume', small, ['creating'], 'available');
    const { schedule } = await catalogue(f.cloud, 'POST', '/schedules', { schedule: { volume_id: small, name: 'often', every_seconds: 3_600, keep: 2, increments: 1 } });
    const kinds = async () => (await f.db()('volume_backups').where({ volume_id: small }).orderBy('data_timestamp').select('parent_id', 'status') as { parent_id: string | null; status: string }[]).map(r => `${r.parent_id ? 'i' : 'F'}${r.status === 'available' ? '' : '?'}`).join('');
    for (const [n, wanted] of ['F', 'Fi', 'FiF', 'Fi'].entries()) {
      write(small, Buffer.alloc(MiB, n + 1));
      await catalogue(f.cloud, 'PATCH', `/schedules/${String(schedule?.['id'])}`, { schedule: { next_at: new Date().toISOString() } });
      await eventually(async () => await kinds() === wanted, 120_000, `${wanted} (${await kinds()})`);
    }
    const listed = JSON.parse(await f.cloud.admin('volume', 'backup', 'list', '--volume', small, '-f', 'json')) as { ID: string; Name: string; Status: string }[];
    expect(listed.map(b => b.Status)).toEqual(['available', 'available']);
    expect(listed.every(b => b.Name.startsWith('often '))).toBe(true);
    // The first chain has expired: nothing of it lies on the target.
    const ids = new Set((await held.names()).filter(n => n.includes(`volume_${small}`)).map(n => /_backup_([0-9a-f-]{36})/.exec(n)?.[1]));
    expect(ids).toEqual(new Set(listed.map(b => b.ID)));
    const back = await restored(listed[0]?.ID ?? '');
    expect(bytesAt(back, 0, MiB).equals(Buffer.alloc(MiB, 4))).toBe(true);
    await catalogue(f.cloud, 'PATCH', `/schedules/${String(schedule?.['id'])}`, { schedule: { enabled: false } });
  });

  test('all deleted: nothing is left on the target', async () => {
    const all = (await f.db()('volume_backups').select('id', 'parent_id') as { id: string; parent_id: string | null }[]).toSorted((a, b) => Number(a.parent_id === null) - Number(b.parent_id === null));
    for (const { id } of all) {
      await f.cloud.admin('volume', 'backup', 'delete', id);
      await f.settled();
    }
    expect(await held.names()).toEqual([]);
  });
});
