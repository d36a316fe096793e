import { expect, test } from 'vitest';
import { loadSettings, SettingsError } from './index.ts';

test('the environment reaches nested settings and lists', () => {
  const s = loadSettings({ CUMULET_HOME: '/tmp/none', CUMULET_PORTS_COMPUTE: '18774', CUMULET_VOLUME_BACKENDS: '[{name: a, driver: fake}]', DATABASE_URL: 'postgres:///x' }, '/');
  expect(s.ports.compute).toBe(18774);
  expect(s.ports.image).toBe(9292);
  expect(s.volume.backends).toMatchObject([{ name: 'a', driver: 'fake', maxOverSubscriptionRatio: 20 }]);
  expect(s.maxMicroversion).toEqual({});
  expect(loadSettings({ CUMULET_HOME: '/tmp/none', CUMULET_MAX_MICROVERSION_COMPUTE: '2.100' }, '/').maxMicroversion.compute).toBe('2.100');
  expect(s.databaseUrl).toBe('postgres:///x');
  expect(s.image.stores[0]?.path).toBe('/tmp/none/images');
});

test('a wrong setting is named in one line', () => {
  expect(() => loadSettings({ CUMULET_HOME: '/tmp/none', CUMULET_PORTS_IMAGE: 'many' }, '/')).toThrow(SettingsError);
  expect(() => loadSettings({ CUMULET_HOME: '/tmp/none', CUMULET_PORTS_IMAGE: '70000' }, '/')).toThrow(/ports\.image/);
  expect(() => loadSettings({ CUMULET_HOME: '/tmp/none', CUMULET_MAX_MICROVERSION_VOLUME: 'zed' }, '/')).toThrow(/maxMicroversion\.volume: must be quoted/);
});
