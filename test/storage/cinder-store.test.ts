import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plainCall } from '../../packages/drivers/index.ts';
import { imageStoreConformance } from '../../packages/drivers/imagestore/conformance.ts';
import { cinderStore } from '../../packages/drivers/imagestore/index.ts';
import { openVolumes, type Volume } from '../../packages/drivers/imagestore/cinder/volumes.ts';
import { startCloud, type TestCloud } from '../harness/cloud.ts';

// Images on volumes, through the HTTP API of a whole cloud with real volumes on a file system.
const call = plainCall();

describe('Cinder', () => {
  let cloud: TestCloud;
  let account: Parameters<typeof cinderStore>[0];
  let volumes: ReturnType<typeof openVolumes>;
  beforeAll(async () => {
    cloud = await startCloud({ env: { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_DEMO_ENABLED: 'false', CUMULET_TOKENS_BCRYPT_ROUNDS: '4' } });
    const { service } = JSON.parse(readFileSync(join(cloud.home, 'passwords.json'), 'utf8')) as { service: string };
    const { host } = JSON.parse(readFileSync(join(cloud.home, 'run', 'settings.json'), 'utf8')) as { host: string };
    account = { name: 'vol', authUrl: `http://127.0.0.1:${cloud.ports.identity}/v3`, user: 'service', key: service, project: 'service', connector: { host } };
    volumes = openVolumes(account, account.connector);
    await cloud.admin('quota', 'set', '--volumes', '-1', '--gigabytes', '-1', 'service');
  });
  afterAll(() => cloud?.end());
  const leftovers = async () => (await volumes.all(call)).map((v: Volume) => `${v.name} ${v.status}`);

  const clear = async () => { for (const volume of await volumes.all(call)) await cinderStore(account).delete(call, `cinder://vol/${volume.id}`); };

  imageStoreConformance('cinder', async () => {
    const store = cinderStore(account);
    await clear();
    return { store, leftovers, foreign: ['cinder://other/image-x', 'cinder://vol/x', 'cinder://vol/image-../x', 'cinder://vol/image-', `cinder://vol/${randomUUID()}/x`, 'cinder://x'] };
  });

  it('grows the volume of a stream whose size nobody told, and reads it as often as wanted at once', async () => {
    await clear();
    const store = cinderStore(account);
    const tail = randomBytes(1 << 20);
    const zeros = Buffer.alloc(1 << 20);
    const { url, size } = await store.put(call, 'grown', Readable.from((function* () { for (let n = 0; n < 1536; n += 1) yield zeros; yield tail; })()));
    expect(size).toBe(1537 * 2 ** 20);
    const all = await Promise.all([1, 2, 3].map(async () => buffer(await store.get(call, url, { offset: size - tail.length }))));
    expect(all.every(bytes => bytes.equals(tail))).toBe(true);
    await store.delete(call, store.location('grown'));
    expect(await leftovers()).toEqual([]);
  });

  it('reads a volume that somebody made, and does not delete it', async () => {
    await clear();
    const store = cinderStore(account);
    const made = await volumes.create(call, { name: 'mine', size: 1, type: undefined, metadata: {} });
    await volumes.until(call, made.id, ['available']);
    expect(await store.size(call, `cinder://${made.id}`)).toBe(2 ** 30);
    expect((await buffer(await store.get(call, `cinder://${made.id}`, { length: 10 }))).equals(Buffer.alloc(10))).toBe(true);
    await store.delete(call, `cinder://${made.id}`);
    await volumes.until(call, made.id, ['available']);
    expect(await leftovers()).toEqual(['mine available']);
    await volumes.delete(call, made.id);
  });
});
