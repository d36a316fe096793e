import { constants } from 'node:fs';
import { access, mkdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Child, Runner } from '@cumulet/exec';
import { silent, type Log } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { Domains } from './domains.ts';
import { HostCalls } from './host-calls.ts';
import { domainState } from './protocol.ts';
import { Session } from './session.ts';

export interface PrivateLibvirtd {
  /** For `libvirtHypervisor({ socketPath })`. */
  readonly socketPath: string;
  readonly pid: number;
  /** Resolves when the daemon is gone, for a supervisor that starts it again. Guests go on without it. */
  readonly exit: Promise<void>;
  /**
   * Ends the daemon. Guests: `leave` them running (the next start finds them), `shutdown` asks them and stops after `graceMs`
   * (default 5,000) those that did not listen, `destroy` stops them at once. Default `shutdown`.
   */
  stop(options?: { guests?: 'leave' | 'shutdown' | 'destroy'; graceMs?: number }): Promise<void>;
}

export interface PrivateLibvirtdOptions {
  /** Kept between starts: it holds saved states and firmware variables. At most 80 characters (unix sockets). */
  readonly dir: string;
  readonly runner: Runner;
  readonly log?: Log;
  readonly signal?: AbortSignal;
  /** Default 20,000. */
  readonly timeoutMs?: number;
}

/** What is mounted over what, in the daemon's own view of the file system only. */
const mounts = { etc: '/etc/libvirt', lib: '/var/lib/libvirt', log: '/var/log/libvirt', cache: '/var/cache/libvirt', run: '/run/libvirt' } as const;

/**
 * Starts a libvirtd of our own: its folders are private by a mount namespace (the paths are compiled in), its guests run as root
 * without cgroups and security labels. Needs root. A daemon that still runs in `dir` is taken over.
 * Throws `unsupported` with one line for the operator where it cannot work.
 */
export async function startPrivateLibvirtd(options: PrivateLibvirtdOptions): Promise<PrivateLibvirtd> {
  const { dir, runner, log = silent, timeoutMs = 20_000 } = options;
  const socketPath = join(dir, 'run', 'libvirt-sock');
  const pidFile = join(dir, 'libvirtd.pid');
  if (process.getuid?.() !== 0) throw new DriverError('unsupported', 'A private libvirtd needs root.');
  if (socketPath.length > 100) throw new DriverError('unsupported', `The folder of the private libvirtd is too long for a unix socket: ${dir}`);
  const program = await firstExecutable(['/usr/sbin/libvirtd', '/usr/local/sbin/libvirtd', '/usr/bin/libvirtd']);
  if (program === undefined) throw new DriverError('unsupported', 'libvirtd is not installed.');

  const running = await livePid(pidFile, program);
  if (running !== undefined && (await answers(socketPath, 2_000))) {
    log.info({ pid: running, dir }, 'found a private libvirtd that is still running');
    return handle(running, socketPath, log, undefined);
  }
  await writeFolders(dir);
  await rm(pidFile, { force: true });
  const holder = await openNamespace(runner, options.signal);
  let child: Child;
  try {
    const enter = `--mount=/proc/${holder.pid}/ns/mnt`;
    for (const [name, target] of [...Object.entries(mounts), ...(await accounts(dir))]) {
      await runner.run('nsenter', [enter, '--', 'mount', '--bind', join(dir, name), target], { timeoutMs: 10_000, signal: options.signal });
    }
    child = await runner.spawn('nsenter', [enter, '--', program, '-f', '/etc/libvirt/libvirtd.conf', '-p', pidFile], {
      onLine: (line) => log.debug({ line }, 'libvirtd said'),
    });
    await untilAnswers(child, socketPath, timeoutMs, options.signal);
  } finally {
    await holder.stop('SIGKILL');
  }
  return handle((await livePid(pidFile, program)) ?? child.pid, socketPath, log, child);
}

async function untilAnswers(child: Child, socketPath: string, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while ((await answers(socketPath, 2_000)) === undefined) {
    if (!child.running || Date.now() > deadline || signal?.aborted) {
      const { stderr } = await child.stop();
      signal?.throwIfAborted();
      throw new DriverError('unsupported', 'The private libvirtd did not start.', { detail: stderr.slice(-500) });
    }
    await sleep(50);
  }
}

/** A process that does nothing but keep a mount namespace open until the daemon has moved in. */
async function openNamespace(runner: Runner, signal: AbortSignal | undefined): Promise<Child> {
  const holder = await runner.spawn('unshare', ['--mount', '--propagation', 'slave', '--', 'sleep', '60']);
  const own = await readlink('/proc/self/ns/mnt');
  for (let i = 0; i < 100 && holder.running; i++) {
    signal?.throwIfAborted();
    const theirs = await readlink(`/proc/${holder.pid}/ns/mnt`).catch(() => own);
    if (theirs !== own) return holder;
    await sleep(20);
  }
  const { stderr } = await holder.stop('SIGKILL');
  throw new DriverError('unsupported', 'This machine does not allow mount namespaces, which a private libvirtd needs.', { detail: stderr });
}

async function writeFolders(dir: string): Promise<void> {
  for (const [name, target] of Object.entries(mounts)) {
    await mkdir(join(dir, name), { recursive: true, mode: 0o700 });
    await mkdir(target, { recursive: true });
  }
  await mkdir(join(dir, 'etc', 'qemu'), { recursive: true });
  const idFile = join(dir, 'host_uuid');
  const id = await readFile(idFile, 'utf8').catch(() => '') || randomUUID();
  await writeFile(idFile, id);
  await writeFile(join(dir, 'etc', 'libvirtd.conf'), conf({
    auth_unix_ro: 'none', auth_unix_rw: 'none', unix_sock_rw_perms: '0700', unix_sock_ro_perms: '0700', host_uuid: id,
    // relative to the daemon's view: it is DIR/log/libvirtd.log for everybody else
    log_outputs: '3:file:/var/log/libvirt/libvirtd.log', max_clients: 200, max_workers: 16, min_workers: 2, prio_workers: 2,
  }));
  await writeFile(join(dir, 'etc', 'qemu.conf'), `${conf({
    user: 'root', group: 'root', dynamic_ownership: 0, remember_owner: 0, security_driver: 'none', security_default_confined: 0,
    stdio_handler: 'file', vnc_listen: '127.0.0.1', set_process_name: 1, max_core: 0,
  })}cgroup_controllers = []\nnamespaces = []\n`);
}

/**
 * libvirtd looks up the account that it was compiled for before it reads that it shall not use it, and Debian's package without systemd
 * makes none: then the daemon's own view of the account files has one. Nothing ever runs as it.
 */
async function accounts(dir: string): Promise<[string, string][]> {
  const lines = { passwd: 'libvirt-qemu:x:65534:65534::/nonexistent:/usr/sbin/nologin\n', group: 'libvirt-qemu:x:65534:\n' };
  const made: [string, string][] = [];
  for (const [name, line] of Object.entries(lines)) {
    const present = await readFile(`/etc/${name}`, 'utf8');
    if (/^libvirt-qemu:/m.test(present)) continue;
    await writeFile(join(dir, name), present + (present.endsWith('\n') ? '' : '\n') + line, { mode: 0o644 });
    made.push([name, `/etc/${name}`]);
  }
  return made;
}

const conf = (values: Record<string, string | number>): string =>
  Object.entries(values).map(([key, value]) => `${key} = ${typeof value === 'number' ? value : JSON.stringify(value)}\n`).join('');

function handle(pid: number, socketPath: string, log: Log, child: Child | undefined): PrivateLibvirtd {
  const gone = async (): Promise<void> => {
    while (alive(pid)) await sleep(200, undefined, { ref: false });
  };
  const exit = child === undefined ? gone() : child.exit.then(() => undefined);
  return {
    socketPath, pid, exit,
    async stop({ guests = 'shutdown', graceMs = 5_000 } = {}) {
      if (guests !== 'leave' && alive(pid)) {
        await stopGuests(socketPath, guests === 'shutdown' ? graceMs : 0, log).catch((error: unknown) => log.warn({ err: error }, 'could not stop the guests'));
      }
      if (child !== undefined) return void (await child.stop());
      signal(pid, 'SIGTERM');
      await Promise.race([exit, sleep(5_000, undefined, { ref: false }).then(() => signal(pid, 'SIGKILL'))]);
    },
  };
}

async function stopGuests(socketPath: string, graceMs: number, log: Log): Promise<void> {
  const session = new Session({ socketPath, log, callTimeoutMs: 5_000 });
  const domains = new Domains(session);
  const running = async () => {
    const states = await Promise.all((await domains.all()).map(async (domain) => ({ domain, ...(await domains.state(domain)) })));
    return states.filter(({ state }) => state !== domainState.shutoff).map(({ domain }) => domain);
  };
  try {
    let left = await running();
    const deadline = Date.now() + graceMs;
    if (graceMs > 0) await Promise.allSettled(left.map((domain) => domains.shutdown(domain)));
    while (left.length > 0 && Date.now() < deadline) {
      await sleep(200);
      left = await running();
    }
    await Promise.allSettled(left.map((domain) => domains.destroy(domain)));
  } finally {
    session.close();
  }
}

/** The socket of the system's own daemon when it answers: libvirtd, or virtqemud where the daemons are split. */
export async function findSystemLibvirt(
  candidates: readonly string[] = ['/run/libvirt/virtqemud-sock', '/run/libvirt/libvirt-sock', '/var/run/libvirt/libvirt-sock'],
): Promise<{ socketPath: string; version: number } | undefined> {
  for (const socketPath of candidates) {
    const version = await answers(socketPath, 3_000);
    if (version !== undefined) return { socketPath, version };
  }
  return undefined;
}

async function answers(socketPath: string, timeoutMs: number): Promise<number | undefined> {
  const session = new Session({ socketPath, log: silent, callTimeoutMs: timeoutMs, keepAliveMs: 0 });
  try {
    return await new HostCalls(session).version();
  } catch {
    return undefined; // whatever the reason, it is not a daemon that we can use
  } finally {
    session.close();
  }
}

async function firstExecutable(paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) {
    if (await access(path, constants.X_OK).then(() => true, () => false)) return path;
  }
  return undefined;
}

async function livePid(pidFile: string, program: string): Promise<number | undefined> {
  const pid = Number(await readFile(pidFile, 'utf8').catch(() => ''));
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  // the number may have gone to another program since
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return command.startsWith(program) && command.includes(pidFile) ? pid : undefined;
}

function alive(pid: number): boolean {
  return signal(pid, 0);
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}
