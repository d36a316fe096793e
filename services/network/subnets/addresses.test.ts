import { expect, test } from 'vitest';
import { compact, eui64, formatIp, formatPrefix, parseIp, parsePrefix, without, type Prefix } from './addresses.ts';

const p = (text: string) => parsePrefix(text) as Prefix;
test('addresses are read strictly and written as the database writes them', () => {
  for (const bad of ['', 'x', '10.0.0', '010.0.0.1', '1.2.3.256', 'fe80::1%eth0', '::g', '1:2:3:4:5:6:7:8:9']) expect(parseIp(bad), bad).toBeUndefined();
  for (const bad of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/8/8', '10.0.0.0/-1', '/8']) expect(parsePrefix(bad), bad).toBeUndefined();
  expect(['10.0.0.1', '2001:DB8:0:0:0:0:0:1', '::', '1:0:0:2::3'].map(t => formatIp(parseIp(t) as never))).toEqual(['10.0.0.1', '2001:db8::1', '::', '1:0:0:2::3']);
  expect(['10.1.2.3/8', '2001:db8::ffff/64', '10.0.0.1'].map(t => formatPrefix(p(t)))).toEqual(['10.0.0.0/8', '2001:db8::/64', '10.0.0.1/32']);
});
test('prefixes are joined, and taken from one another', () => {
  expect(compact([p('10.0.1.0/24'), p('10.0.0.0/24'), p('10.0.0.128/25'), p('10.0.4.0/24')]).map(formatPrefix)).toEqual(['10.0.0.0/23', '10.0.4.0/24']);
  expect(without([p('10.0.0.0/24')], [p('10.0.0.64/26'), p('10.0.0.0/28')]).map(formatPrefix)).toEqual(['10.0.0.16/28', '10.0.0.32/27', '10.0.0.128/25']);
  expect(without([p('fd00::/48')], [p('fd00::/49')]).map(formatPrefix)).toEqual(['fd00:0:0:8000::/49']);
  expect(without([p('10.0.0.0/24')], [p('10.0.0.0/16')])).toEqual([]);
  expect(without([p('10.0.0.0/30')], [p('10.9.0.0/16'), p('fd00::/8')]).map(formatPrefix)).toEqual(['10.0.0.0/30']);
});
test('EUI-64', () => expect(eui64(p('2001:db8:1:2::/64'), 'fa:16:3e:01:02:03')).toBe('2001:db8:1:2:f816:3eff:fe01:203'));
