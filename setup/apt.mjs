import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { say, step, StepFailed } from './steps.mjs';

const policy = '/usr/sbin/policy-rc.d';
const policyBefore = `${policy}.before-cumulet`;
const mark = '# Written while Cumulet installs packages; it is gone afterwards.';
const lists = '/var/lib/apt/lists';
const environment = () => ({ ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' });

/**
 * Which of the packages are not installed. Where there is no dpkg nothing is known, so nothing is missing: programs that
 * are not there are found out when they are used.
 * @param {string[]} names
 */
export function missingPackages(names) {
  const asked = spawnSync('dpkg-query', ['--show', '--showformat', '${Package} ${db:Status-Status}\\n', ...names], { encoding: 'utf8' });
  if (asked.error) return { known: false, missing: [] };
  const there = new Set(asked.stdout.split('\n').filter((l) => l.endsWith(' installed')).map((l) => l.split(' ')[0]));
  return { known: true, missing: names.filter((name) => !there.has(name)) };
}

/** The words before a command that needs to be root, or undefined when we may not. @returns {string[] | undefined} */
export function privilege() {
  if (process.getuid?.() === 0) return [];
  if (spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0) return ['sudo', '-n'];
  const person = process.stdin.isTTY && process.stderr.isTTY && !process.env.CI;
  if (person && spawnSync('sudo', ['--version'], { stdio: 'ignore' }).status === 0) return ['sudo'];
  return undefined;
}

/**
 * Installs packages; their maintainer scripts start no daemon. Throws StepFailed.
 * @param {string[]} names @param {string[]} asRoot @param {string} log
 */
export async function install(names, asRoot, log) {
  const install = () => step(`installing ${names.length} Debian packages`, [...asRoot, 'env', 'DEBIAN_FRONTEND=noninteractive', 'LC_ALL=C.UTF-8', 'apt-get', ...lockWait,
    '-o', 'Dpkg::Options::=--force-confold', '-o', 'APT::Status-Fd=1', 'install', '--yes', '--no-install-recommends', ...names],
  { log, terminal: asRoot[0] === 'sudo' && asRoot.length === 1, whole: true, progress: aptProgress });
  await withoutDaemons(asRoot, log, () => afterUpdate(asRoot, log, install));
}

const lockWait = ['-o', 'DPkg::Lock::Timeout=600'];

/** `pmstatus:NAME:45.3:Unpacking …` and `dlstatus:…` are what APT::Status-Fd writes. @param {string} line */
function aptProgress(line) {
  const [, kind, percent] = /^(dl|pm)status:[^:]*:([\d.]+):/.exec(line) ?? [];
  return percent === undefined ? undefined : `${kind === 'dl' ? 'downloading' : 'unpacking'}, ${Math.round(Number(percent))} %`;
}

/**
 * Downloads package files into a folder without installing them; the folder appears when all are there.
 * @param {{ kernel: string, names: string[] }} wanted @param {string} folder @param {string[] | undefined} asRoot @param {string} log
 */
export async function download(wanted, folder, asRoot, log) {
  mkdirSync(dirname(folder), { recursive: true });
  const partial = mkdtempSync(`${folder}.`);
  try {
    await afterUpdate(asRoot, log, async () => {
      const depends = await step('looking up the newest kernel', ['apt-cache', 'depends', wanted.kernel], { log, env: environment() });
      const kernel = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
      if (!kernel) throw new StepFailed(`no package ${wanted.kernel}`);
      return step('downloading the parts of the demo image', ['apt-get', 'download', kernel, ...wanted.names], { log, cwd: partial, env: environment() });
    });
    rmSync(folder, { recursive: true, force: true });
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
}

/**
 * Runs `work`; brings the package lists up to date first when there are none, and when it fails: mirrors forget old versions.
 * @param {string[] | undefined} asRoot @param {string} log @param {() => Promise<unknown>} work
 */
async function afterUpdate(asRoot, log, work) {
  const update = async () => {
    if (asRoot) await step('updating the list of Debian packages', [...asRoot, 'apt-get', ...lockWait, 'update', '--quiet'], { log, env: environment(), terminal: asRoot.length === 1 });
  };
  const have = existsSync(lists) && readdirSync(lists).some((name) => /_Packages(\.\w+)?$/.test(name));
  if (!have) await update();
  try {
    await work();
  } catch (error) {
    if (!have || !asRoot || !(error instanceof StepFailed)) throw error;
    await update();
    await work();
  }
}

/**
 * @param {string[]} asRoot @param {string} log @param {() => Promise<unknown>} work
 */
async function withoutDaemons(asRoot, log, work) {
  const root = (/** @type {string[]} */ ...command) => step('preparing', [...asRoot, ...command], { log, terminal: asRoot.length === 1, whole: true });
  const present = existsSync(policy) ? readFileSync(policy, 'utf8') : undefined;
  // One that refuses everything already, as container images have it, can stay.
  if (present !== undefined && /^\s*exit 101\s*$/m.test(present) && !present.includes(mark)) return work();
  const ours = join(mkdtempSync(join(tmpdir(), 'cumulet-')), 'policy-rc.d');
  writeFileSync(ours, `#!/bin/sh\n${mark}\nexit 101\n`);
  try {
    // One of ours that is still there is from a run that was killed; what was before it is kept aside already.
    if (present !== undefined && !present.includes(mark)) await root('mv', policy, policyBefore);
    await root('install', '-m', '755', ours, policy);
    return await work();
  } finally {
    rmSync(dirname(ours), { recursive: true, force: true });
    if (existsSync(policyBefore)) await root('mv', policyBefore, policy);
    else await root('rm', '-f', policy);
  }
}

/** Puts back what a killed run left behind. @param {string[] | undefined} asRoot @param {string} log */
export async function tidy(asRoot, log) {
  if (!asRoot || !existsSync(policy) || !readFileSync(policy, 'utf8').includes(mark)) return;
  await withoutDaemons(asRoot, log, async () => say('put back /usr/sbin/policy-rc.d'));
}
