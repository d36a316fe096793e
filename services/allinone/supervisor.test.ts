import { afterEach, expect, test } from 'vitest';
import { createRunner } from '@cumulet/exec';
import { program } from './program.ts';
import { Supervisor } from './supervisor.ts';
import { openTerminal } from './terminal.ts';
import { PassThrough } from 'node:stream';

const runner = createRunner({ log: { debug() {}, warn() {} } });
const output = new PassThrough();
let said = '';
output.setEncoding('utf8').on('data', (text: string) => { said += text; });

const pids = new Map<string, number>();
const supervisor = () => new Supervisor({
  terminal: openTerminal(output), backoffMs: 20, slowestMs: 80,
  pid: { write: (name, pid) => void pids.set(name, pid), remove: (name) => void pids.delete(name) },
});
const shell = (script: string, ready = () => true, more: { graceMs?: number; readyMs?: number } = {}) => program(runner, {
  name: 'part', command: async () => ['sh', '-c', script], env: {}, cwd: '/', stopSignal: 'SIGTERM', graceMs: 200, readyMs: 2000, onLine: (line) => line, ready, ...more,
});
const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const until = async (condition: () => boolean) => {
  await expect.poll(condition, { timeout: 5000, interval: 10 }).toBe(true);
};

afterEach(() => { said = ''; pids.clear(); });

test('a part that dies is started again, with its new pid and a line that says why', async () => {
  const s = supervisor();
  await s.start(shell('sleep 60'));
  const first = pids.get('part')!;
  process.kill(first, 'SIGKILL');
  await until(() => pids.has('part') && pids.get('part') !== first);
  await until(() => said.includes('is back'));
  expect(said).toMatch(/part: ended \(killed by SIGKILL\), starting it again/);
  await s.stop('part');
  expect(pids.has('part')).toBe(false);
});

test('a part that ignores the signal is killed after its grace time', async () => {
  const s = supervisor();
  let trapped = false;
  const part = program(runner, {
    name: 'part', command: async () => ['sh', '-c', 'trap "" TERM; echo on; while :; do sleep 1; done'], env: {}, cwd: '/', stopSignal: 'SIGTERM', graceMs: 200, readyMs: 2000,
    onLine: (line) => { trapped = true; return line; }, ready: () => trapped,
  });
  await s.start(part);
  const pid = pids.get('part')!;
  const began = performance.now();
  await s.stop('part');
  expect(alive(pid)).toBe(false);
  expect(performance.now() - began).toBeLessThan(2000);
});

test('one that ends at once says what its last words were', async () => {
  const s = supervisor();
  await expect(s.start(shell('echo no room >&2; exit 3', () => false))).rejects.toThrow('exit code 3: no room');
  expect(pids.size).toBe(0);
  await s.stop('part');
});

test('one that never is ready is ended', async () => {
  const s = supervisor();
  await expect(s.start(shell('sleep 60', () => false, { readyMs: 100 }))).rejects.toThrow('not ready within');
  expect(pids.size).toBe(0);
});

test('the end during a start leaves nothing', async () => {
  const s = supervisor();
  const started = s.start(shell('sleep 60', () => false));
  await until(() => pids.has('part'));
  const pid = pids.get('part')!;
  await Promise.all([expect(started).rejects.toThrow(), s.stop('part')]);
  expect(alive(pid)).toBe(false);
});

test('the end while a dead part waits for its next start leaves nothing', async () => {
  const s = supervisor();
  await s.start(shell('sleep 0.05; exit 1'));
  await until(() => said.includes('ended'));
  await s.stop('part');
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(pids.size).toBe(0);
});
