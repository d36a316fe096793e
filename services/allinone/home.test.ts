import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { openHome } from './home.ts';

const folder = mkdtempSync('/tmp/cumulet-home-');
afterAll(() => rmSync(folder, { recursive: true }));

test('only one has a state folder, and the other is told who', async () => {
  const home = await openHome(join(folder, 'a'));
  await expect(openHome(join(folder, 'a'))).rejects.toThrow(`another Cumulet (pid ${process.pid}) runs on ${join(folder, 'a')}`);
  home.release();
  const again = await openHome(join(folder, 'a'));
  again.release();
});

test('a deep folder has a short name for sockets', async () => {
  const deep = join(folder, 'x'.repeat(120));
  const home = await openHome(deep);
  expect(home.path).toBe(deep);
  expect(Buffer.byteLength(home.short)).toBeLessThan(60);
  expect(realpathSync(home.short)).toBe(deep);
  home.release();
  expect(existsSync(home.short)).toBe(false);
});

test('what a killed instance left running is ended, what only has its pid is not', async () => {
  const path = join(folder, 'b');
  (await openHome(path)).release();
  const ours = spawn('sleep', ['60'], { env: { CUMULET_HOME: path }, stdio: 'ignore' });
  const foreign = spawn('sleep', ['60'], { env: {}, stdio: 'ignore' });
  writeFileSync(join(path, 'run/api.pid'), String(ours.pid));
  writeFileSync(join(path, 'run/worker.pid'), String(foreign.pid));
  const gone = new Promise<string | null>((resolve) => ours.on('exit', (_, signal) => resolve(signal)));
  const home = await openHome(path);
  expect(await gone).toBe('SIGTERM');
  expect(foreign.exitCode).toBeNull();
  expect(existsSync(join(path, 'run/worker.pid'))).toBe(false);
  expect(readFileSync(join(path, 'run/cumulet.pid'), 'utf8')).toBe(`${process.pid}\n`);
  foreign.kill();
  home.release();
});
