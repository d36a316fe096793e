import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startCloud } from '../harness/cloud.ts';
import { runner } from '../harness/processes.ts';
import { backupFigures, backupTable } from './backups.ts';
import { computeScale } from './compute.ts';
import { imageScale } from './image.ts';
import { volumeScale } from './volume.ts';
import { ratio, table, type Results } from './table.ts';

// `npm run bench`: the benchmark that was run against the peer, against a new cloud whose servers are on paper (as the peer's were).
// BENCH_ONLY=token,server limits it (`scale` is compute's own part, which the peer's script does not have); BENCH_SECS, BENCH_GIB and so on are those of the script; BENCH_OUT keeps the figures.
const peer = fileURLToPath(new URL('../../../shared/peer/', import.meta.url));
if (!existsSync(join(peer, 'bench.mjs'))) throw new Error(`no benchmark: ${peer}bench.mjs is not there`);
const folder = mkdtempSync('/tmp/cumulet-bench-');
const out = process.env['BENCH_OUT'] ?? join(folder, 'results.json');
const cloud = await startCloud({ env: { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake' } });
try {
  const { admin } = JSON.parse(readFileSync(join(cloud.home, 'passwords.json'), 'utf8')) as { admin: string };
  const given = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('BENCH_')));
  const bench = await runner.spawn(process.execPath, [join(peer, 'bench.mjs')], {
    cwd: folder,
    env: {
      OS_AUTH_URL: `http://127.0.0.1:${cloud.ports.identity}/v3`, OS_USERNAME: 'admin', OS_PASSWORD: admin, OS_PROJECT_NAME: 'admin', BENCH_LABEL: 'cumulet',
      BENCH_ONLY: 'token,image,imagedata,server,volume,backup,quota', BENCH_SERVER_PIDS: join(cloud.home, 'run'), ...given, BENCH_OUT: out,
    },
    onLine: (line) => process.stderr.write(`${line}\n`),
  });
  const { exitCode } = await bench.exit;
  const { results } = JSON.parse(readFileSync(out, 'utf8')) as { results: Results };
  process.stdout.write(`${table(ratio(results, readFileSync(join(peer, 'README.md'), 'utf8')))}\n`);
  process.exitCode = exitCode ?? 1;
  if (!process.env['BENCH_ONLY'] || process.env['BENCH_ONLY'].includes('scale')) process.stdout.write(`\n${await computeScale(cloud)}\n`);
  if (!process.env['BENCH_ONLY'] || process.env['BENCH_ONLY'].includes('images')) process.stdout.write(`\n${await imageScale(cloud)}\n`);
  if (!process.env['BENCH_ONLY'] || process.env['BENCH_ONLY'].includes('volumes')) process.stdout.write(`\n${await volumeScale(cloud)}\n`);
  if (!process.env['BENCH_ONLY'] || process.env['BENCH_ONLY'].includes('backupdata')) process.stdout.write(`\n${backupTable(await backupFigures(folder, [{ sizeGiB: 2, dataMiB: 512 }, { sizeGiB: 1024, dataMiB: 512 }]))}\n`);
} finally {
  await cloud.end();
  rmSync(folder, { recursive: true, force: true });
}
