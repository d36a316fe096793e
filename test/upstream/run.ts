import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { runner } from '../harness/processes.ts';
import { factsOf, writeConfiguration } from './configuration.ts';
import { imageSite } from './image.ts';
import { outcomeOf } from './outcome.ts';

/**
 * Upstream's own API tests (Debian's `tempest`) against `npm start`:
 *
 *     npm run test:upstream -- identity [TEST-REGEX]
 *
 * Prints the counts. A failure that test/upstream/expected.json does not explain ends it with 1, as does an explained one that passes again.
 */
const areas = {
  identity: { regex: '^tempest\\.api\\.identity', peer: { passed: 132, failed: 2, skipped: 20 } },
  image: { regex: '^tempest\\.api\\.image', peer: { passed: 64, failed: 2, skipped: 16 } },
  volume: { regex: '^tempest\\.api\\.volume', peer: { passed: 186, failed: 0, skipped: 5 } },
  compute: { regex: '^tempest\\.api\\.compute', peer: { passed: 248, failed: 1, skipped: 25 } },
  network: { regex: '^tempest\\.api\\.network', peer: undefined },
} as const;
type Area = keyof typeof areas;
/** For tests that ask for two. */
const twoBackends = '[{name: file, driver: file, path: volumes}, {name: file2, driver: file, path: volumes2}]';
const expected = JSON.parse(readFileSync(new URL('./expected.json', import.meta.url), 'utf8')) as Record<string, string>;

const [, , area = '', regex] = process.argv;
if (!Object.hasOwn(areas, area)) { console.error(`usage: npm run test:upstream -- ${Object.keys(areas).join('|')} [regex]`); process.exit(2); }
if (!existsSync('/usr/bin/tempest')) { console.error('upstream\'s tests are not installed: apt-get install --no-install-recommends tempest'); process.exit(2); }
process.exitCode = await run(area as Area, regex ?? areas[area as Area].regex);

async function run(of: Area, wanted: string): Promise<number> {
  const folder = mkdtempSync('/tmp/cumulet-upstream-');
  const site = of === 'image' ? await imageSite() : undefined;
  // None of these logs into a guest: where none has to boot, none does.
  const simulated = { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake' };
  const light: Record<string, string> = of === 'identity' ? { ...simulated, CUMULET_DEMO_ENABLED: 'false' } : of === 'image' ? { ...simulated, ...site?.env } : of === 'volume' ? { ...simulated, CUMULET_VOLUME_BACKENDS: twoBackends } : of === 'compute' || of === 'network' ? simulated : {};
  // Keystone lets a project go while its volumes are still being deleted; tempest counts on it.
  const cloud = await startCloud({ env: { CUMULET_PASSWORDS_ADMIN: 'upstream', CUMULET_IDENTITY_DELETE_PROJECTS_IN_USE: 'true', ...light } });
  try {
    if (of === 'compute') await secondImage(cloud, folder);
    await site?.addRemote(cloud);
    writeConfiguration(folder, { ...await factsOf(cloud, 'upstream'), httpImage: site?.httpImage });
    const began = Date.now();
    let printed = '';
    const child = await runner.spawn('stestr', ['run', '--concurrency', '2', wanted], {
      cwd: folder, env: { PATH: '/usr/bin:/bin', TEMPEST_CONFIG_DIR: join(folder, 'etc'), TEMPEST_CONFIG: 'tempest.conf' },
      onLine: line => { printed += `${line}\n`; if (/^\{\d+\}/.test(line)) console.log(line); },
    });
    await child.exit;
    return judge(of, printed, began, folder);
  } finally {
    site?.close();
    await cloud.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Rebuild and its like take another image than the server's own. */
async function secondImage(cloud: TestCloud, folder: string): Promise<void> {
  const file = join(folder, 'second.qcow2');
  await runner.run('qemu-img', ['create', '-f', 'qcow2', file, '16M']);
  await cloud.admin('image', 'create', '--public', '--disk-format', 'qcow2', '--container-format', 'bare', '--file', file, 'second');
}

function judge(of: Area, printed: string, began: number, folder: string): number {
  const { passed, failed, skipped } = outcomeOf(printed);
  const surprises = failed.filter(t => expected[t] === undefined);
  const healed = passed.filter(t => expected[t] !== undefined);
  console.log(`\n${of}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped in ${Math.round((Date.now() - began) / 1000)} s`);
  const { peer } = areas[of];
  if (peer) console.log(`the peer: ${peer.passed} passed, ${peer.failed} failed, ${peer.skipped} skipped`);
  for (const t of failed) console.log(`  failed: ${t}\n    ${expected[t] ?? 'NOT EXPLAINED'}`);
  for (const t of healed) console.log(`  passes, though expected.json explains its failure: ${t}`);
  if (surprises.length > 0) {
    const log = `/tmp/cumulet-upstream-${of}.log`;
    writeFileSync(log, printed);
    console.log(`what was printed: ${log} (configuration was in ${folder})`);
  }
  return passed.length > 0 && surprises.length === 0 && healed.length === 0 ? 0 : 1;
}
