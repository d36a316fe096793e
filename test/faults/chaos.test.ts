import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Redis } from 'ioredis';
import { faultyCloud, type FaultyCloud } from './cloud.ts';
import { computeIdeas } from './chaos/compute.ts';
import { dice, type Dice } from './chaos/dice.ts';
import { imageIdeas, stores } from './chaos/image.ts';
import { networkIdeas } from './chaos/network.ts';
import { kinds, User } from './chaos/user.ts';
import { makeVolumeTypes, volumeIdeas, type VolumeTypes } from './chaos/volume.ts';
import { leftovers } from './leftovers.ts';

// Users who do what comes to their minds, while processes are killed, frozen and robbed of their memory at random moments. Whatever happens: no answer is a
// 500, every resource comes to rest, and rows, files, guests and counters agree. `CHAOS_SECONDS` and `CHAOS_SEED` repeat or lengthen a run.
const seconds = Number(process.env['CHAOS_SECONDS'] ?? 120);
const seed = Number(process.env['CHAOS_SEED'] ?? randomBytes(4).readUInt32LE());
const people = 4;

let f: FaultyCloud;
let types: VolumeTypes;
let external = '';
beforeAll(async () => {
  f = await faultyCloud({
    CUMULET_VOLUME_BACKENDS: '[{name: one, driver: file, path: volumes/one}, {name: two, driver: file, path: volumes/two, format: qcow2}]',
    CUMULET_IMAGE_STORES: JSON.stringify(stores.map((id, n) => ({ id, driver: 'file', path: `images/${id}`, ...(n === 0 && { default: true }) }))),
  });
  types = await makeVolumeTypes(f);
  external = (await f.call('network', 'GET', '/v2.0/networks?name=public')).body.networks[0].id as string;
});
afterAll(() => f?.end());

/** One trouble, and back. */
async function trouble(random: Dice): Promise<string> {
  const victim = random.one(['api', 'worker', 'worker', 'api', 'postgres', 'redis', 'flush', 'freeze', 'freeze']);
  if (victim === 'flush') {
    const redis = new Redis(`${f.cloud.home}/run/redis/redis.sock`, { lazyConnect: true, maxRetriesPerRequest: 0 });
    await redis.flushall().finally(() => redis.disconnect());
  } else if (victim === 'freeze') {
    // Longer than a lease: what it held is somebody else's when it wakes.
    const pid = f.cloud.pid(random.one(['api', 'worker']));
    process.kill(pid, 'SIGSTOP');
    await new Promise((done) => { setTimeout(done, 5_000); });
    process.kill(pid, 'SIGCONT');
  } else await f.cloud.kill(victim, random.one(['SIGKILL', 'SIGKILL', 'SIGTERM']));
  // The next one when all are back: what never gets up proves nothing.
  for (const service of ['image', 'compute', 'volume'] as const) await f.call(service, 'GET', '/healthz');
  return victim;
}

test(`${people} users and a monkey for ${seconds} s, seed ${seed}`, async () => {
  const end = Date.now() + seconds * 1_000;
  const users = Array.from({ length: people }, (_, n) => new User(f, dice(seed + n), `user${n}`));
  const ideas = new Map(users.map((user) => [user, [...computeIdeas(user), ...volumeIdeas(user, types), ...imageIdeas(user), ...networkIdeas(user, external)]]));
  const happened: string[] = [];
  const monkey = async () => {
    const random = dice(seed - 1);
    while (Date.now() < end) {
      await new Promise((done) => { setTimeout(done, 2_000 + random.below(8_000)); });
      happened.push(await trouble(random).catch((error: unknown) => `failed: ${String(error)}`));
    }
  };
  await Promise.all([monkey(), ...users.map(async (user) => { while (Date.now() < end) await user.act(ideas.get(user) ?? []); })]);

  await f.settled(600_000);
  const answers = users.flatMap((user) => user.answers);
  const counts = Object.fromEntries([...Map.groupBy(answers, (a) => `${a.what} ${a.status}`)].map(([key, list]) => [key, list.length] as const).toSorted());
  console.log(JSON.stringify({ seed, troubles: happened.length, happened, requests: answers.length, unanswered: f.unanswered, counts }, null, 1));
  expect(happened.filter((what) => what.startsWith('failed'))).toEqual([]);
  const broken = answers.filter((a) => a.status >= 500);
  // Why is in the log, which goes with the cloud.
  if (broken.length > 0) console.log(readFileSync(join(f.cloud.home, 'log', 'api.log'), 'utf8').split('\n').filter((line) => line.includes('"level":50')).slice(-20).join('\n'));
  expect(broken).toEqual([]);
  expect(await leftovers(f.db(), f.cloud.home)).toEqual([]);

  // And everything can be deleted, in an order that users know.
  for (const user of users) await user.leave('server');
  await users[0]?.adopt();
  for (const kind of kinds) for (const user of users) await user.leave(kind);
  await f.settled(600_000);
  expect(await leftovers(f.db(), f.cloud.home)).toEqual([]);
  expect(await f.db()('servers').where({ deleted: false }).select('id', 'vm_state')).toEqual([]);
  for (const table of ['volumes', 'volume_snapshots', 'volume_backups', 'volume_groups', 'volume_group_snapshots']) expect(await f.db()(table).select('id', 'status'), table).toEqual([]);
  expect(readdirSync(join(f.cloud.home, 'backups'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => entry.name)).toEqual([]);
}, (seconds + 900) * 1_000);
