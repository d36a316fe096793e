import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { eventually, runner } from '../harness/processes.ts';

let cloud: TestCloud;
beforeAll(async () => { cloud = await startCloud(); });
afterAll(() => cloud.end());

const parts = ['api', 'worker', 'postgres', 'redis', 'libvirtd'];
const files = ['openrc', 'openrc-demo', 'clouds.yaml'];
const present = () => readdirSync(cloud.home).filter((name) => files.includes(name)).toSorted();
/** Every process whose command or environment names the state folder. */
const processes = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid)).flatMap((pid) => {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    const ours = command.includes(cloud.home) || readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`CUMULET_HOME=${cloud.home}\0`);
    return ours && command !== '' ? [`${pid} ${command.replaceAll('\0', ' ')}`] : [];
  } catch {
    return []; // it has ended meanwhile
  }
});
const another = async (env: Record<string, string>) => {
  const { stdout, stderr } = await runner.run('npm', ['start', '--silent'], { env, okExitCodes: [1], timeoutMs: 60_000, cwd: join(import.meta.dirname, '../..') });
  return `${stdout}${stderr}`.trim().split('\n');
};

test('an empty folder becomes a cloud that clients can use', async () => {
  expect(present()).toEqual(files.toSorted());
  for (const file of [...files, 'passwords.json']) expect(statSync(join(cloud.home, file)).mode & 0o777).toBe(0o600);
  for (const part of parts) expect(readFileSync(`/proc/${cloud.pid(part)}/comm`, 'utf8')).not.toBe('');
  expect(await cloud.openstack('token', 'issue', '-f', 'value', '-c', 'project_id')).toMatch(/^[0-9a-f]{32}$/);
  expect((await cloud.openstack('image', 'list', '-f', 'value', '-c', 'Status')).split('\n')).toEqual(['active']);
  expect((await cloud.openstack('network', 'list', '-f', 'value', '-c', 'Name')).split('\n').toSorted()).toEqual(['private', 'public']);
  expect((await cloud.openstack('flavor', 'list', '-f', 'value', '-c', 'Name')).split('\n')).toEqual(expect.arrayContaining(['m1.nano', 'm1.tiny', 'm1.small']));
  expect(cloud.output()).toContain('/docs');
});

test('Postgres and Redis listen on no port', async () => {
  const { stdout } = await runner.run('ss', ['--listening', '--tcp', '--processes', '--numeric']);
  expect(stdout).not.toMatch(new RegExp(`pid=(${cloud.pid('postgres')}|${cloud.pid('redis')}),`));
});

test('a second one on the same folder, and one whose port is taken, say so in one line', async () => {
  expect(await another({ CUMULET_HOME: cloud.home })).toEqual([expect.stringContaining(`another Cumulet (pid ${cloud.pid('cumulet')}) runs on ${cloud.home}`)]);
  const server = createServer();
  const port = await new Promise<number>((resolve) => { server.listen(0, '127.0.0.1', () => resolve((server.address() as { port: number }).port)); });
  try {
    const ports = Object.fromEntries(Object.keys(cloud.ports).map((name, i) => [`CUMULET_PORTS_${name.toUpperCase()}`, String(name === 'image' ? port : port + 101 + i)]));
    expect(await another({ ...ports, CUMULET_HOME: `${cloud.home}/other` })).toEqual([expect.stringMatching(new RegExp(`cannot start: port ${port} \\(image\\) on 127.0.0.1 is in use`))]);
  } finally {
    server.close();
  }
});

test.each(parts)('%s comes back when it is killed, and the cloud with it', async (part) => {
  await cloud.kill(part);
  // One request may meet the part while it is away; the next ones do not.
  await eventually(async () => (await cloud.openstack('image', 'list', '-f', 'value')) !== '', 30_000, 'a usable cloud');
  expect(cloud.output()).toMatch(new RegExp(`${part}: ended \\(.*\\), starting it again`));
});

test('Ctrl-C ends every process in ten seconds, and the next start finds everything', async () => {
  const token = () => cloud.openstack('project', 'show', 'demo', '-f', 'value', '-c', 'id').catch(() => cloud.admin('project', 'show', 'demo', '-f', 'value', '-c', 'id'));
  const before = await token();
  const password = readFileSync(join(cloud.home, 'openrc'), 'utf8');
  await cloud.stop();
  expect(processes()).toEqual([]);
  expect(present()).toEqual([]);
  await cloud.start();
  expect(await token()).toBe(before);
  expect(readFileSync(join(cloud.home, 'openrc'), 'utf8')).toBe(password);
  expect((await cloud.openstack('image', 'list', '-f', 'value')).split('\n')).toHaveLength(1);
});

test('nothing stays when it is killed without a chance to say so, and the next start is as always', async () => {
  process.kill(cloud.pid('cumulet'), 'SIGKILL');
  await eventually(() => processes().length === 0, 15_000, 'the end of every process');
  expect(present()).toEqual([]);
  await cloud.start();
  expect(await cloud.openstack('token', 'issue', '-f', 'value', '-c', 'id')).toMatch(/./);
});
