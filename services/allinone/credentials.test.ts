import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { createRunner } from '@cumulet/exec';
import { removeCredentials, writeCredentials } from './credentials.ts';
import { openHome } from './home.ts';
import { keepPasswords } from './passwords.ts';

const folder = mkdtempSync('/tmp/cumulet-credentials-');
afterAll(() => rmSync(folder, { recursive: true }));
const passwords = { admin: `it's "$HOME" \`x\` \\ é`, demo: 'plain', service: 's' };

test('a shell that reads openrc has the very password, and no variables of another cloud', async () => {
  const home = await openHome(folder);
  writeCredentials(home.path, { authUrl: 'http://127.0.0.1:5000/v3', region: 'RegionOne', passwords });
  const runner = createRunner({ log: { debug() {}, warn() {} } });
  const { stdout } = await runner.run('sh', ['-c', '. "$1"; printf "%s|%s" "$OS_PASSWORD" "$OS_TENANT_NAME"', 'sh', home.file('openrc')], { env: { OS_TENANT_NAME: 'old' } });
  expect(stdout).toBe(`${passwords.admin}|`);
  const { clouds } = parse(readFileSync(home.file('clouds.yaml'), 'utf8')) as { clouds: Record<string, { auth: object }> };
  expect(clouds['cumulet-admin']?.auth).toMatchObject({ username: 'admin', password: passwords.admin });
  expect(clouds['cumulet']?.auth).toMatchObject({ username: 'demo', password: 'plain', project_name: 'demo' });
  for (const file of ['openrc', 'openrc-demo', 'clouds.yaml']) expect(statSync(home.file(file)).mode & 0o777).toBe(0o600);
  removeCredentials(home.path);
  expect(() => statSync(home.file('openrc'))).toThrow();
  home.release();
});

test('passwords are random, stay, and give way to those that are set', () => {
  const file = join(folder, 'passwords.json');
  const first = keepPasswords(file, {});
  expect(new Set(Object.values(first)).size).toBe(3);
  expect(keepPasswords(file, {})).toEqual(first);
  expect(keepPasswords(file, { admin: 'mine' })).toEqual({ ...first, admin: 'mine' });
  expect(keepPasswords(file, {}).admin).toBe('mine');
  expect(statSync(file).mode & 0o777).toBe(0o600);
});
