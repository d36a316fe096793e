import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startNfs, type RealNfs } from './nfs.ts';

const home = mkdtempSync('/tmp/cumulet-nfs-');
let nfs: RealNfs;
beforeAll(async () => { nfs = await startNfs(home); });
afterAll(async () => {
  await nfs?.stop();
  rmSync(home, { recursive: true, force: true });
});

interface Report { readonly success: boolean; readonly testResults: readonly { readonly message: string; readonly assertionResults: readonly { readonly status: string; readonly fullName: string; readonly failureMessages: readonly string[] }[] }[] }

test('the driver of NFS shares keeps its contract over NFS 4.2, from a kernel of its own', async () => {
  const report = join(home, 'report.json');
  const environment = `CUMULET_TEST_NFS=${JSON.stringify({ share: nfs.share, mountOptions: nfs.mountOptions })}`;
  let failure: unknown;
  await nfs.inside(['env', environment, process.execPath, 'node_modules/vitest/vitest.mjs', 'run', '--config', 'test/storage/nfs/vitest.config.ts', '--reporter', 'json', '--outputFile', report], { memoryMiB: 2048, timeoutMs: 1_700_000 }).catch((error: unknown) => { failure = error; });
  let told: Report | undefined;
  try { told = JSON.parse(readFileSync(report, 'utf8')) as Report; } catch { throw failure; }
  const results = told.testResults.flatMap(file => [...file.assertionResults]);
  expect(told.testResults.map(file => file.message).filter(Boolean)).toEqual([]);
  expect(results.filter(one => one.status === 'failed').map(one => `${one.fullName}: ${one.failureMessages.join('\n').slice(0, 500)}`)).toEqual([]);
  expect(results.filter(one => one.status === 'passed').length).toBeGreaterThan(30);
  expect(failure).toBeUndefined();
  // It went over the wire: the containers are seen on the server's side.
  expect(readdirSync(nfs.exported).some(name => name.startsWith('target-'))).toBe(true);
}, 1_800_000);
