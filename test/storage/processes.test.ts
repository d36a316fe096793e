import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { Child } from '@cumulet/exec';
import { loadSettings } from '@cumulet/config';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { startPostgres, type TestPostgres } from '../harness/postgres.ts';
import { eventually, runner } from '../harness/processes.ts';
import { startRedis, type TestRedis } from '../harness/redis.ts';
import { freePorts } from './daemons.ts';

// docker-compose.yml without an engine: each process by the command and the environment that the file gives it, and a worker of a second host beside them.
// What is taken from the machine instead: Postgres, Redis, free ports, and folders for /var/lib/cumulet.
interface Service { readonly image: string; readonly command?: string[]; readonly environment?: Record<string, string>; readonly ports?: string[] }
const { services } = parse(readFileSync('docker-compose.yml', 'utf8'), { merge: true }) as { services: Record<string, Service> };
const processes = Object.entries(services).filter(([, service]) => service.image === 'cumulet');
const given: Record<string, string> = { POSTGRES_PASSWORD: 'secret', CUMULET_PASSWORDS_ADMIN: 'of-the-admin', CUMULET_PASSWORDS_DEMO: 'of-demo' };
const filled = (text: string): string => text.replaceAll(/\$\{(\w+)(?::-([^}]*)|:\?([^}]*))?\}/g, (_, name: string, otherwise: string | undefined) => {
  const value = given[name] ?? otherwise;
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
});

const home = mkdtempSync('/tmp/cumulet-processes-');
const state = join(home, 'first');
const running = new Map<string, Child>();
let postgres: TestPostgres;
let redis: TestRedis;
let machine: Record<string, string> = {};
let ports: Record<string, number> = {};
/** The last lines of each process. */
const said = new Map<string, string>();

async function start(name: string, service: Service, more: Readonly<Record<string, string>> = {}): Promise<Child> {
  const environment = Object.fromEntries(Object.entries(service.environment ?? {}).map(([key, value]) => [key, filled(value)]));
  const child = await runner.spawn(process.execPath, service.command ?? [], { env: { CUMULET_BIND: '0.0.0.0', ...environment, ...machine, ...more }, graceMs: 10_000, onLine: line => { said.set(name, `${said.get(name) ?? ''}${line}\n`.slice(-3000)); } });
  running.set(name, child);
  return child;
}
/** As the engine does when a process is gone. */
async function killed(name: string): Promise<void> {
  await running.get(name)?.stop('SIGKILL');
  await start(name, services[name] as Service);
}
const openstack = async (...args: string[]): Promise<string> => {
  const as = args[0] === 'ADMIN' ? 'admin' : 'demo';
  const { stdout } = await runner.run('openstack', as === 'admin' ? args.slice(1) : args, { timeoutMs: 180_000, env: {
    OS_AUTH_URL: `http://127.0.0.1:${ports['identity']}/v3`, OS_USERNAME: as, OS_PASSWORD: given[as === 'admin' ? 'CUMULET_PASSWORDS_ADMIN' : 'CUMULET_PASSWORDS_DEMO'] ?? '', OS_PROJECT_NAME: as, OS_USER_DOMAIN_ID: 'default', OS_PROJECT_DOMAIN_ID: 'default', OS_IDENTITY_API_VERSION: '3',
  } });
  return stdout.trimEnd();
};
const answers = (name: string) => fetch(`http://127.0.0.1:${ports[name]}/healthz`).then(r => r.ok, () => false);
const working = (name: string) => eventually(() => (said.get(name) ?? '').includes('"working"'), 180_000, `${name} at work`);

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis()]);
  const names = processes.map(([name]) => name);
  const free = await freePorts(names.length);
  ports = Object.fromEntries(names.map((name, n) => [name, free[n] as number]));
  const second = 16 + Math.floor(Math.random() * 200);
  machine = {
    DATABASE_URL: postgres.url(), REDIS_URL: redis.url, CUMULET_HOME: state, CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_DEMO_ENABLED: 'false', CUMULET_TOKENS_BCRYPT_ROUNDS: '4',
    CUMULET_NETWORK_PREFIX: `p${second.toString(36)}`, CUMULET_NETWORK_PRIVATE_CIDR: `10.${second}.0.0/24`, CUMULET_NETWORK_PUBLIC_CIDR: `10.${second}.1.0/24`, CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '60000',
    CUMULET_IMAGE_STORES: JSON.stringify([{ id: 'file', driver: 'file', path: join(state, 'images'), default: true }]),
    ...Object.fromEntries(names.filter(name => !['bootstrap', 'worker'].includes(name)).map(name => [`CUMULET_PORTS_${name.toUpperCase()}`, String(ports[name])])),
  };
});
afterAll(async () => {
  await Promise.all([...running.values()].map(child => child.stop()));
  await redis?.stop();
  await postgres?.stop();
  rmSync(home, { recursive: true, force: true });
});

test('the file names every service, the port that it listens on, and one database for all', () => {
  const alone = readdirSync('services').filter(name => existsSync(join('services', name, 'main.ts')) && name !== 'allinone');
  expect(processes.map(([name]) => name).filter(name => name !== 'bootstrap').toSorted()).toEqual(alone.toSorted());
  for (const [name, { command, ports: published }] of processes) {
    expect(existsSync(command?.[0] ?? ''), name).toBe(true);
    if (!['bootstrap', 'worker'].includes(name)) expect(published, name).toEqual([`${(loadSettings({}).ports as Record<string, number>)[name]}:${(loadSettings({}).ports as Record<string, number>)[name]}`]);
  }
  // The worker sees the host's network, not the engine's names.
  const databases = new Set(processes.map(([, { environment }]) => new URL(filled(environment?.['DATABASE_URL'] ?? '')).pathname));
  expect(databases).toEqual(new Set(['/cumulet']));
});

test('processes by themselves, two workers, and the client', async () => {
  // At each start, and it changes nothing that is there.
  for (let n = 0; n < 2; n += 1) {
    const { exitCode, stderr } = await (await start('bootstrap', services['bootstrap'] as Service)).exit;
    expect(exitCode, stderr).toBe(0);
  }
  running.delete('bootstrap');
  for (const [name, service] of processes) if (name !== 'bootstrap') await start(name, service);
  mkdirSync(join(home, 'second'));
  copyFileSync(join(state, 'secret.key'), join(home, 'second', 'secret.key'));
  await start('second worker', services['worker'] as Service, { CUMULET_HOST: 'compute2', CUMULET_HOME: join(home, 'second') });
  for (const name of Object.keys(ports).filter(one => !['bootstrap', 'worker'].includes(one))) await eventually(() => answers(name), 240_000, `${name}: ${said.get(name) ?? ''}`);
  for (const name of ['worker', 'second worker']) await working(name);

  expect((await openstack('catalog', 'list', '-f', 'value', '-c', 'Type')).split('\n').toSorted()).toEqual(expect.arrayContaining(['backup-catalogue', 'block-storage', 'compute', 'identity', 'image', 'network', 'operations', 'placement']));
  const file = join(home, 'image');
  writeFileSync(file, randomBytes(300_000));
  await openstack('ADMIN', 'image', 'create', '--public', '--disk-format', 'raw', '--container-format', 'bare', '--file', file, 'tiny');
  await eventually(async () => (await openstack('ADMIN', 'compute', 'service', 'list', '--service', 'nova-compute', '-f', 'value', '-c', 'Host', '-c', 'State')).split('\n').toSorted().join() === 'compute1 up,compute2 up', 120_000, 'two hosts');
  for (const host of ['compute1', 'compute2']) {
    await openstack('ADMIN', '--os-compute-api-version', '2.74', 'server', 'create', '--flavor', 'm1.nano', '--image', 'tiny', '--nic', 'none', '--host', host, '--wait', `on-${host}`);
    expect(await openstack('ADMIN', 'server', 'show', `on-${host}`, '-f', 'value', '-c', 'status', '-c', 'OS-EXT-SRV-ATTR:host')).toBe(`${host}\nACTIVE`);
    await openstack('ADMIN', 'server', 'delete', '--wait', `on-${host}`);
  }
  await openstack('server', 'create', '--flavor', 'm1.nano', '--image', 'tiny', '--network', 'private', '--wait', 'one');
  // File volumes serve their own host only: the volume is asked for where the server is.
  const server = await openstack('server', 'show', 'one', '-f', 'value', '-c', 'id');
  await openstack('volume', 'create', '--size', '1', '--hint', `local_to_instance=${server}`, 'data');
  const status = (kind: string[], name: string, wanted: string) => eventually(async () => await openstack(...kind, 'show', name, '-f', 'value', '-c', 'status') === wanted, 120_000, `${name} ${wanted}`);
  await status(['volume'], 'data', 'available');
  await openstack('server', 'add', 'volume', 'one', 'data');
  await status(['volume'], 'data', 'in-use');

  // Each by itself comes back to where it was.
  for (const name of ['volume', 'compute', 'worker']) await killed(name);
  for (const name of ['volume', 'compute']) await eventually(() => answers(name), 240_000, name);
  await openstack('server', 'remove', 'volume', 'one', 'data');
  await status(['volume'], 'data', 'available');
  await openstack('volume', 'backup', 'create', '--name', 'copy', 'data');
  await status(['volume', 'backup'], 'copy', 'available');
  await openstack('server', 'delete', '--wait', 'one');
  expect(await openstack('server', 'list', '-f', 'value')).toBe('');
}, 1_200_000);
