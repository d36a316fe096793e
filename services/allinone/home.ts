import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from './refusal.ts';

/** The state folder, held by this process alone. */
export interface Home {
  /** Absolute, without symbolic links. */
  readonly path: string;
  /** The same folder by a name that is short enough for unix sockets in it; often the path itself. */
  readonly short: string;
  file(...parts: string[]): string;
  pid: { write(name: string, pid: number): void; remove(name: string): void };
  release(): void;
}

/** A unix socket's path has at most 107 bytes; libvirt and Postgres put up to this many behind the folder's. */
const longestHome = 60;

/**
 * Makes the state folder and takes it, which only one process can. What a killed instance left running is ended first.
 * Throws Refusal when another instance has it.
 */
export async function openHome(wanted: string): Promise<Home> {
  let path: string;
  try {
    // Others may pass through: Postgres runs as another user. What is inside is not for them.
    mkdirSync(wanted, { recursive: true, mode: 0o711 });
    path = realpathSync(wanted);
    for (const folder of ['run', 'log']) mkdirSync(join(path, folder), { recursive: true, mode: 0o711 });
  } catch (cause) {
    throw new Refusal(`the state folder ${wanted} cannot be used: ${(cause as Error).message}`);
  }
  const runFile = (name: string) => join(path, 'run', `${name}.pid`);
  const release = await lock(path, readPid(runFile('cumulet')));
  await endLeftovers(path);
  writeFileSync(runFile('cumulet'), `${process.pid}\n`);
  const short = shortName(path);
  return {
    path,
    short,
    file: (...parts) => join(path, ...parts),
    pid: {
      write: (name, pid) => writeFileSync(runFile(name), `${pid}\n`),
      remove: (name) => rmSync(runFile(name), { force: true }),
    },
    release() {
      rmSync(runFile('cumulet'), { force: true });
      if (short !== path) rmSync(short, { force: true });
      release();
    },
  };
}

/** An abstract socket is held by one process and gone with it, whatever ends it: no stale lock is possible. */
function lock(path: string, holder: number | undefined): Promise<() => void> {
  const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
  const server = createServer((connection) => connection.destroy());
  server.unref();
  return new Promise((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => reject(error.code === 'EADDRINUSE'
      ? new Refusal(`another Cumulet${holder ? ` (pid ${holder})` : ''} runs on ${path}: end it, or set CUMULET_HOME to another folder`) : error));
    server.listen(`\0cumulet-${name}`, () => resolve(() => server.close()));
  });
}

const readPid = (file: string): number | undefined => {
  try {
    return Number.parseInt(readFileSync(file, 'utf8'), 10) || undefined;
  } catch {
    return undefined; // not there
  }
};

/**
 * Children die with us by themselves, but may still be at it when we were killed and started again at once. A pid may also belong to
 * somebody else by now: a process is ours when its environment or its command names the state folder.
 */
async function endLeftovers(path: string): Promise<void> {
  const marks = [path, shortName(path)];
  const left = () => readdirSync(join(path, 'run')).filter((name) => name.endsWith('.pid')).flatMap((name) => {
    const pid = readPid(join(path, 'run', name));
    return pid !== undefined && pid !== process.pid && isOurs(pid, marks) ? [pid] : [];
  });
  const steps = [['SIGTERM', 6000], ['SIGKILL', 2000]] as const;
  for (const [signal, patience] of steps) {
    const end = Date.now() + patience;
    for (const pid of left()) sendSignal(pid, signal);
    while (left().length > 0 && Date.now() < end) await sleep(50);
  }
  for (const name of readdirSync(join(path, 'run'))) if (name.endsWith('.pid')) rmSync(join(path, 'run', name), { force: true });
}

function isOurs(pid: number, marks: readonly string[]): boolean {
  try {
    if (/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) return false;
    const words = `${readFileSync(`/proc/${pid}/cmdline`, 'utf8')}\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}`.split(/[\0=]/);
    return words.some((word) => marks.some((mark) => word === mark || word.startsWith(`${mark}/`)));
  } catch {
    return false; // gone, or another user's
  }
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** For a deep folder, a symbolic link to it where only this user can write: sockets still lie in the state folder. */
function shortName(path: string): string {
  if (Buffer.byteLength(path) <= longestHome) return path;
  const uid = process.getuid?.() ?? 0;
  const folder = uid === 0 ? '/run/cumulet' : `/tmp/cumulet-${uid}`;
  mkdirSync(folder, { recursive: true, mode: 0o711 });
  if (lstatSync(folder).uid !== uid || !lstatSync(folder).isDirectory()) throw new Refusal(`${folder} belongs to somebody else: set CUMULET_HOME to a shorter path`);
  const link = join(folder, createHash('sha256').update(path).digest('hex').slice(0, 12));
  try {
    symlinkSync(path, link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST' || readlinkSync(link) !== path) throw error;
  }
  return link;
}
