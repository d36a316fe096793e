import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { Redis } from 'ioredis';
import { deletePlan as serverDelete } from '../../services/compute/plans/delete.ts';
import { createPlan as serverCreate } from '../../services/compute/plans/create.ts';
import { shelvePlan as serverShelve } from '../../services/compute/plans/snapshot.ts';
import { createPlan as volumeCreate, deletePlan as volumeDelete } from '../../services/volume/volumes/plans.ts';
import { faultyCloud, type FaultyCloud } from './cloud.ts';
import { all, killedAtEachPoint, pointsOf, times } from './kill.ts';
import { leftovers } from './leftovers.ts';
import { Points } from './points.ts';

let f: FaultyCloud;
let points: Points;
beforeAll(async () => {
  f = await faultyCloud();
  points = new Points(f.db());
  await points.install();
});
afterAll(() => f?.end());
/** Whatever was killed: all is at rest, and what is there is what the rows say. */
afterEach(async () => {
  await points.open({ killed: false });
  await f.settled();
  expect(await leftovers(f.db(), f.cloud.home)).toEqual([]);
});

describe.each(['worker', 'api'] as const)('SIGKILL of the %s', (victim) => {
  let servers: string[] = [];
  let volumes: string[] = [];

  test('at every step of server create', async () => {
    servers = await killedAtEachPoint(f, points, victim, serverCreate, (n) => f.makeServer(`${victim}-${n}`));
    // Deletion takes one for each of its points, twice.
    servers.push(...await times(Math.max(0, 2 * pointsOf(serverDelete).length - servers.length), (n) => f.makeServer(`${victim}-more-${n}`)));
    await f.settled();
    expect(await f.statuses('server', servers)).toEqual(all(servers.length, 'ACTIVE'));
  }, 300_000);

  test('at every step of server shelve', async () => {
    const some = servers.slice(0, pointsOf(serverShelve).length);
    const answers = await killedAtEachPoint(f, points, victim, serverShelve, (n) => f.act(some[n] as string, 'shelve'));
    expect(answers.map((a) => a.status)).toEqual(all(some.length, '202').map(Number));
    expect(await f.statuses('server', some)).toEqual(all(some.length, 'SHELVED_OFFLOADED'));
  }, 300_000);

  test('at every step of server delete, of servers that run and of shelved ones', async () => {
    for (const some of [servers.slice(-pointsOf(serverDelete).length), servers.slice(0, pointsOf(serverDelete).length)]) {
      await killedAtEachPoint(f, points, victim, serverDelete, (n) => f.remove('server', some[n] as string));
      expect(await f.statuses('server', some)).toEqual(all(some.length, '404'));
    }
    const answers = await Promise.all(servers.map((id) => f.remove('server', id)));
    for (const { status } of answers) expect([204, 404]).toContain(status);
    await f.settled();
    expect(await f.statuses('server', servers)).toEqual(all(servers.length, '404'));
  }, 300_000);

  test('at every step of volume create and delete', async () => {
    volumes = await killedAtEachPoint(f, points, victim, volumeCreate, (n) => f.makeVolume(`${victim}-${n}`));
    volumes.push(await f.makeVolume(`${victim}-more`));
    await f.settled();
    expect(await f.statuses('volume', volumes)).toEqual(all(volumes.length, 'available'));
    const some = volumes.slice(0, pointsOf(volumeDelete).length);
    await killedAtEachPoint(f, points, victim, volumeDelete, (n) => f.remove('volume', some[n] as string));
    expect(await f.statuses('volume', some)).toEqual(all(some.length, '404'));
  }, 300_000);
});

/** A mixture of work under way while `trouble` happens; every request that was answered is done in the end: a restart is nobody's failure. */
async function workDuring(name: string, trouble: () => Promise<void>): Promise<void> {
  const [servers, volumes] = await Promise.all([times(4, (n) => f.makeServer(`${name}-${n}`)), times(4, (n) => f.makeVolume(`${name}-${n}`))]);
  await trouble();
  // Also what is asked for while the trouble lasts.
  servers.push(await f.makeServer(`${name}-late`));
  await f.settled();
  expect(await f.statuses('server', servers)).toEqual(all(servers.length, 'ACTIVE'));
  expect(await f.statuses('volume', volumes)).toEqual(all(volumes.length, 'available'));
  const removed = await Promise.all([...servers.map((id) => f.remove('server', id)), ...volumes.map((id) => f.remove('volume', id))]);
  for (const { status } of removed) expect([202, 204]).toContain(status);
  await f.settled();
  expect(await f.statuses('server', servers)).toEqual(all(servers.length, '404'));
  expect(await f.statuses('volume', volumes)).toEqual(all(volumes.length, '404'));
}

test('Redis flushed, and restarted', async () => {
  await workDuring('flushed', async () => {
    const redis = new Redis(`${f.cloud.home}/run/redis/redis.sock`, { lazyConnect: true, maxRetriesPerRequest: 0 });
    await redis.flushall();
    redis.disconnect();
  });
  await workDuring('redis', () => f.cloud.kill('redis'));
}, 300_000);

test('Postgres restarted, by the book, politely and as if the power went', async () => {
  await workDuring('postgres-int', () => f.cloud.kill('postgres', 'SIGINT'));
  await workDuring('postgres-term', () => f.cloud.kill('postgres', 'SIGTERM'));
  await workDuring('postgres-kill', () => f.cloud.kill('postgres'));
}, 300_000);
