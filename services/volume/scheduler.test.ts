import { expect, test } from 'vitest';
import { evaluate } from './scheduler/formula.ts';
import { matches } from './scheduler/specs.ts';
import { testCloud } from './testing.ts';

test('six volumes on two backends by number: three and three', async () => {
  const c = await testCloud({ scheduler: { weighers: ['VolumeNumberWeigher'] } });
  await c.admin('POST', '/v3/types', { volume_type: { name: 'lvm', extra_specs: { } } });
  for (let i = 0; i < 6; i++) await c.volume({ volume_type: 'lvm' });
  expect([...c.drivers.values()].map(d => d.held.length)).toEqual([3, 3]);
  await c.close();
});
test('many at once never overbook a pool, and who is left out learns why', async () => {
  const c = await testCloud({ backends: [{ name: 'one', totalGiB: 12, maxOverSubscriptionRatio: 1 }, { name: 'two', totalGiB: 8, maxOverSubscriptionRatio: 1 }] });
  await c.admin('PUT', `/v3/os-quota-sets/${'de'.repeat(16)}`, { quota_set: { volumes: -1, gigabytes: -1 } });
  const made = await Promise.all(Array.from({ length: 200 }, () => c.demo('POST', '/v3/volumes', { volume: { size: 1 } })));
  expect(made.every(m => m.status === 202)).toBe(true);
  await c.report();                                                    // a report while they are being made changes nothing
  await c.t.drain();
  const rows = (await c.demo('GET', '/v3/volumes/detail')).body.volumes as { status: string }[];
  expect(rows.filter(v => v.status === 'available')).toHaveLength(20);
  expect(rows.filter(v => v.status === 'error')).toHaveLength(180);
  expect([...c.drivers.values()].map(d => d.held.length)).toEqual([12, 8]);
  expect((await c.demo('GET', '/v3/messages', undefined, '3.5')).body.messages[0]).toMatchObject({ event_id: 'VOLUME_VOLUME_001_003', user_message: 'schedule allocate volume:Could not find any available weighted backend. (CapacityFilter refused 2 of 2)' });
  await c.close();
});
test('parallel creates never pass a quota', async () => {
  const c = await testCloud();
  const made = await Promise.all(Array.from({ length: 30 }, () => c.demo('POST', '/v3/volumes', { volume: { size: 1 } })));
  expect(made.filter(m => m.status === 202)).toHaveLength(10);
  expect(made.filter(m => m.status === 413)).toHaveLength(20);
  await c.close();
});
test('extra specs', () => {
  for (const [has, wants, yes] of [[true, '<is> True', true], [false, '<is> True', false], ['lvm', 'lvm', true], ['lvm', '<or> nfs <or> lvm', true], [5, '>= 5', true], [5, '> 5', false], ['b', 's== b', true], ['a b', '<in> b', true], [undefined, 'x', false]] as const) expect(matches(has, wants), `${String(has)} ${wants}`).toBe(yes);
});
test('formulas', () => {
  const names = { volume: { size: 5 }, capabilities: { free: 10 } };
  expect(evaluate('volume.size < 10', names)).toBe(1);
  expect(evaluate('(volume.size * 2 + 1) / 11 ? 70 : 30', names)).toBe(70);
  expect(evaluate('max(volume.size, capabilities.free) ^ 2', names)).toBe(100);
  expect(evaluate('volume.size == 5 and not (capabilities.free < 3)', names)).toBe(1);
  expect(() => evaluate('process.exit', names)).toThrow('no number');
});
