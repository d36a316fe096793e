import { readFileSync } from 'node:fs';
import { loadSettings, SettingsError } from '@cumulet/config';
import { createRunner } from '@cumulet/exec';
import { endpoint, serviceNames, startCloud, stopCloud, type CloudOptions, type Summary } from './cloud.ts';
import { removeCredentials } from './credentials.ts';
import { openHome } from './home.ts';
import { checkPorts } from './ports.ts';
import { Refusal } from './refusal.ts';
import { openReports } from './reports.ts';
import { Supervisor } from './supervisor.ts';
import { openTerminal } from './terminal.ts';

const began = performance.now();
const terminal = openTerminal(process.stdout);
/** Ctrl-C, an end asked for, a closed terminal, or npm gone: whatever it is, we end the same way. */
const end = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => end.abort());
watchNpm();

try {
  await run();
} catch (error) {
  if (!(error instanceof Refusal || error instanceof SettingsError)) throw error;
  terminal.say(`cannot start: ${error.message}`);
  process.exitCode = 1;
}
process.exit();

async function run(): Promise<void> {
  const settings = loadSettings();
  const home = await openHome(settings.home);
  const reports = openReports(home.file('log'), terminal);
  const supervisor = new Supervisor({ terminal, pid: home.pid });
  const log = { debug() {}, warn: (fields: object, msg: string) => void reports.line('cumulet', JSON.stringify({ level: 40, time: new Date().toISOString(), service: 'cumulet', ...fields, msg })) };
  const cloud: CloudOptions = { settings, home, supervisor, reports, terminal, runner: createRunner({ log }), cache: settings.cache };
  let real = false;
  try {
    removeCredentials(home.path);
    await checkPorts(settings);
    const started = startCloud(cloud);
    end.signal.addEventListener('abort', () => supervisor.beginStop());
    const summary = await started;
    real = summary.backends.network === 'linuxbridge';
    print(summary, home.path);
    if (!end.signal.aborted) await new Promise((resolve) => end.signal.addEventListener('abort', resolve));
  } catch (error) {
    // A start that was broken off by Ctrl-C is no failure.
    if (!end.signal.aborted) {
      if (!(error instanceof Refusal)) reports.line('cumulet', JSON.stringify({ level: 60, time: new Date().toISOString(), service: 'cumulet', msg: 'the start failed', stack: error instanceof Error ? error.stack : String(error) }));
      throw new Refusal(`${error instanceof Error ? error.message : String(error)} (logs: ${home.file('log')})`, { cause: error });
    }
  } finally {
    const ending = performance.now();
    removeCredentials(home.path);
    if (end.signal.aborted) terminal.say('ending …');
    await stopCloud(cloud, real);
    reports.close();
    home.release();
    if (end.signal.aborted) terminal.say(`ended (${((performance.now() - ending) / 1000).toFixed(1)} s)`);
  }
}

function print({ settings, backends }: Summary, home: string): void {
  const rows: [string, string][] = [
    ...serviceNames.map((name): [string, string] => [name, endpoint(settings, name)]),
    ['OpenAPI', `${endpoint(settings, 'identity')}/docs (each service has its own)`],
    ['servers', backends.hypervisor === 'libvirt' ? `libvirt${{ kvm: ' with KVM', qemu: ' without KVM', auto: '' }[settings.hypervisor.virtType]}, ${backends.libvirtSocket}` : 'simulated'],
    ['as demo', `. ${home}/openrc-demo && openstack server list`],
    ['as admin', `. ${home}/openrc`],
    ['or', `export OS_CLIENT_CONFIG_FILE=${home}/clouds.yaml OS_CLOUD=cumulet (or cumulet-admin)`],
    ['logs', `${home}/log`],
  ];
  terminal.say(`ready (${((performance.now() - began) / 1000).toFixed(1)} s). Ctrl-C ends it.`);
  terminal.table(rows);
}

/** npm does not pass on its own death by SIGKILL; the pid of our parent changes then. */
function watchNpm(): void {
  const parent = process.ppid;
  try {
    if (!readFileSync(`/proc/${parent}/comm`, 'utf8').startsWith('npm')) return;
  } catch {
    return; // no /proc: nothing to watch
  }
  setInterval(() => { if (process.ppid !== parent) end.abort(); }, 1000).unref();
}
