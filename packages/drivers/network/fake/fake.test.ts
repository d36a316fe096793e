import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { plainCall } from '../../call.ts';
import { networkConformance } from '../conformance.ts';
import { fakeNetwork } from './index.ts';

networkConformance(async () => {
  const driver = fakeNetwork();
  return { driver, setPlugged: driver.setPlugged, metadataSocket: '/nowhere/metadata.sock', close: async () => {} };
}, { without: 'traffic' });

describe('fake network', () => {
  test('fails at the call it was told, before or after its work', async () => {
    const fake = fakeNetwork();
    fake.failAt('removeRouter', 2);
    await fake.removeRouter(plainCall(), 'aa');
    await expect(fake.removeRouter(plainCall(), 'aa')).rejects.toMatchObject({ kind: 'broken' });
    await fake.removeRouter(plainCall(), 'aa');
    fake.failAt('applyRouter', 1, undefined, 'after');
    await expect(fake.applyRouter(plainCall(), { id: 'aa', gateway: null, interfaces: [], routes: [], floatingIps: [] })).rejects.toMatchObject({ kind: 'broken' });
    expect(fake.routers.has('aa')).toBe(true);
    expect(fake.count('removeRouter')).toBe(3);
  });

  test('hangs until it is aborted', async () => {
    const fake = fakeNetwork();
    fake.hangAt('list', 1);
    const abort = new AbortController();
    const hanging = fake.list(plainCall('x', abort.signal));
    const first = await Promise.race([hanging, sleep(20, 'still hanging')]);
    expect(first).toBe('still hanging');
    abort.abort(new Error('enough'));
    await expect(hanging).rejects.toThrow('enough');
  });
});
