import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPrivateLibvirtd, type PrivateLibvirtd } from '@cumulet/drivers/hypervisor';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { eventually, runner } from '../harness/processes.ts';
import { secondWorker } from '../harness/second-worker.ts';
import { areas, password, type Area } from './areas.ts';
import { factsOf, writeClouds, writeConfiguration } from './configuration.ts';
import { imageSite } from './image.ts';
import { guestImage } from '../../services/allinone/guest-image/build.ts';
import { cacheFolder } from '../../setup/cache.mjs';
import { outcomeOf, reasonFor } from './outcome.ts';

/**
 * Upstream's own tests against `npm start`: Debian's `tempest`, and those that its clients bring along:
 *
 *     npm run test:upstream -- identity [TEST-REGEX]
 *
 * Prints the counts. A failure that test/upstream/expected.json does not explain ends it with 1, as does an explained one that passes again.
 */
const expected = JSON.parse(readFileSync(new URL('./expected.json', import.meta.url), 'utf8')) as Record<string, string>;

const [, , name = '', regex] = process.argv;
const area = areas[name];
if (area === undefined) { console.error(`usage: npm run test:upstream -- ${Object.keys(areas).join('|')} [regex]`); process.exit(2); }
const program = area.suite === 'tempest' ? ['/usr/bin/tempest', 'tempest'] : [`/usr/lib/python3/dist-packages/${area.suite}/tests/functional`, `python3-${area.suite === 'openstack' ? 'openstacksdk' : area.suite} ${area.suite === 'glanceclient' ? 'python3-os-client-config ' : ''}python3-stestr python3-tempest`];
if (!existsSync(program[0] as string)) { console.error(`upstream's tests are not installed: apt-get install --no-install-recommends ${program[1]}`); process.exit(2); }
process.exitCode = await run(area, regex ?? area.regex);

async function run(of: Area, wanted: string): Promise<number> {
  const folder = mkdtempSync('/tmp/cumulet-upstream-');
  const site = name === 'image' ? await imageSite() : undefined;
  const daemons = of.hosts && of.env['CUMULET_HYPERVISOR_DRIVER'] === 'libvirt' ? await twoDaemons() : undefined;
  // Keystone lets a project go while its volumes are still being deleted; tempest counts on it.
  const cloud = await startCloud({ readyMs: 300_000, env: { CUMULET_PASSWORDS_ADMIN: password, CUMULET_PASSWORDS_DEMO: password, CUMULET_IDENTITY_DELETE_PROJECTS_IN_USE: 'true', ...of.env, ...site?.env, ...daemons?.first } })
    .catch(async (error: unknown) => { await daemons?.stop(); throw error; });
  let other: Awaited<ReturnType<typeof secondWorker>> | undefined;
  try {
    if (of.hosts) {
      other = await secondWorker(cloud, { host: 'second', env: { ...of.env, ...daemons?.second } });
      await eventually(async () => (await cloud.admin('hypervisor', 'list', '-f', 'value', '-c', 'ID')).split('\n').length === 2, 60_000, 'two hosts');
    }
    for (const command of of.prepare ?? []) await cloud.admin(...command);
    if (of.hosts || of.suite !== 'tempest') await secondImage(cloud, folder);
    await site?.addRemote(cloud);
    const variables = of.suite === 'tempest' ? await tempest(cloud, folder, of, site?.httpImage) : writeClouds(folder, of.suite, { authUrl: `http://127.0.0.1:${cloud.ports.identity}/v3`, password });
    const began = Date.now();
    let printed = '';
    const child = await runner.spawn('stestr', ['run', '--concurrency', String(of.concurrency ?? 2), wanted], {
      cwd: folder, env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', ...variables },
      onLine: line => { printed += `${line}\n`; if (/^\{\d+\}/.test(line)) console.log(line); },
    });
    await child.exit;
    return judge(printed, began, folder);
  } finally {
    site?.close();
    await other?.stop();
    await cloud.end();
    await daemons?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A libvirtd for each host, and the settings that lead there: guests move from one to the other. */
async function twoDaemons(): Promise<{ readonly first: Readonly<Record<string, string>>; readonly second: Readonly<Record<string, string>>; stop(): Promise<void> }> {
  const started: { readonly folder: string; readonly daemon: PrivateLibvirtd }[] = [];
  const next = async () => {
    const folder = mkdtempSync('/tmp/cumulet-libvirt-');
    const daemon = await startPrivateLibvirtd({ dir: folder, runner });
    started.push({ folder, daemon });
    return { CUMULET_HYPERVISOR_LIBVIRT_SOCKET: daemon.socketPath, CUMULET_HYPERVISOR_MIGRATION_URI: `qemu+unix:///system?socket=${daemon.socketPath}` };
  };
  return {
    first: await next(), second: await next(),
    async stop() {
      for (const { folder, daemon } of started) {
        await daemon.stop({ guests: 'destroy' });
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}

/** tempest.conf; returns the variables that lead there. */
async function tempest(cloud: TestCloud, folder: string, of: Area, httpImage: string | undefined): Promise<Readonly<Record<string, string>>> {
  const image = of.guests ? await guestImage(runner, cacheFolder(process.env)) : undefined;
  writeConfiguration(folder, { ...await factsOf(cloud, password), httpImage, guestImage: image, hosts: of.hosts ?? 1, scopes: of.scopes === true, consoles: of.env['CUMULET_HYPERVISOR_DRIVER'] !== 'fake' });
  return { TEMPEST_CONFIG_DIR: join(folder, 'etc'), TEMPEST_CONFIG: 'tempest.conf' };
}

/** Rebuild and its like take another image than the server's own; openstackclient's tests look for one of this name. */
async function secondImage(cloud: TestCloud, folder: string): Promise<void> {
  const file = join(folder, 'second.qcow2');
  await runner.run('qemu-img', ['create', '-f', 'qcow2', file, '16M']);
  await cloud.admin('image', 'create', '--public', '--disk-format', 'qcow2', '--container-format', 'bare', '--file', file, 'cirros-second-disk');
}

function judge(printed: string, began: number, folder: string): number {
  const { passed, failed, skipped } = outcomeOf(printed);
  const surprises = failed.filter(t => reasonFor(t, expected) === undefined);
  const healed = passed.filter(t => reasonFor(t, expected) !== undefined);
  console.log(`\n${name}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} skipped in ${Math.round((Date.now() - began) / 1000)} s`);
  const peer = area?.peer;
  if (peer) console.log(`the peer: ${peer.passed} passed, ${peer.failed} failed, ${peer.skipped} skipped`);
  for (const t of failed) console.log(`  failed: ${t}\n    ${reasonFor(t, expected) ?? 'NOT EXPLAINED'}`);
  for (const t of healed) console.log(`  passes, though expected.json explains its failure: ${t}`);
  if (surprises.length > 0) {
    const log = `/tmp/cumulet-upstream-${name}.log`;
    writeFileSync(log, printed);
    console.log(`what was printed: ${log} (configuration was in ${folder})`);
  }
  return passed.length > 0 && surprises.length === 0 && healed.length === 0 ? 0 : 1;
}
