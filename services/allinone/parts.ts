import { chmodSync, chownSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { connect as openSocket } from 'node:net';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Runner } from '@cumulet/exec';
import { startPrivateLibvirtd } from '@cumulet/drivers/hypervisor';
import type { Home } from './home.ts';
import { initCommand, postgresEnvironment, postgresUrl, preparePostgresFolders, serverCommand } from './postgres.ts';
import { program } from './program.ts';
import { redisCommand } from './redis.ts';
import type { Reports } from './reports.ts';
import type { Part } from './supervisor.ts';
import { nobody } from './unprivileged.ts';

export interface Tools {
  /** For what is built or found out once for all state folders. */
  readonly cache: string;
  readonly home: Home;
  readonly runner: Runner;
  readonly reports: Reports;
}

const repository = fileURLToPath(new URL('../..', import.meta.url));
const socketsOf = (home: Home) => `${home.short}/run/postgres`;

/** The address of the embedded Postgres' maintenance database, or of the one named. */
export const embeddedPostgresUrl = (home: Home, database?: string): string => postgresUrl(socketsOf(home), database);
export const embeddedRedisUrl = (home: Home): string => `${home.short}/run/redis/redis.sock`;

export function postgresPart({ home, runner, reports }: Tools): Part {
  const folders = { data: home.file('postgres'), sockets: socketsOf(home) };
  const env = { ...postgresEnvironment, CUMULET_HOME: home.path };
  return program(runner, {
    name: 'postgres', env, cwd: '/', stopSignal: 'SIGINT', graceMs: 3000, readyMs: 60_000,
    async command() {
      preparePostgresFolders(folders);
      const init = await initCommand(folders);
      if (init) await runner.run(init[0], init.slice(1), { cwd: '/', env });
      return serverCommand(folders);
    },
    onLine: (line) => reports.line('postgres', line),
    // What SIGTERM asks for: no new connections, and an end when those that there are have ended.
    leaving: (line) => line.includes('received smart shutdown request'),
    async ready() {
      if (!existsSync(`${folders.sockets}/.s.PGSQL.5432`)) return false;
      const client = new pg.Client(embeddedPostgresUrl(home));
      // Ended by the server while it starts: connect() says so too.
      client.on('error', () => undefined);
      await client.connect();
      await client.end();
      return true;
    },
  });
}

export function redisPart({ home, runner, reports }: Tools): Part {
  const folder = `${home.short}/run/redis`;
  return program(runner, {
    name: 'redis', env: { CUMULET_HOME: home.path }, cwd: '/', stopSignal: 'SIGTERM', graceMs: 1000, readyMs: 10_000,
    async command() {
      mkdirSync(folder, { recursive: true });
      chmodSync(folder, 0o700);
      if (process.getuid?.() === 0) chownSync(folder, nobody.uid, nobody.gid);
      return redisCommand(folder, embeddedRedisUrl(home));
    },
    onLine: (line) => reports.line('redis', line),
    ready: () => answersPing(embeddedRedisUrl(home)),
  });
}

function answersPing(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = openSocket(path, () => socket.write('PING\r\n'));
    socket.setTimeout(1000, () => socket.destroy());
    socket.on('data', (answer) => {
      resolve(answer.toString().startsWith('+PONG'));
      socket.destroy();
    });
    socket.on('error', () => resolve(false));
    socket.on('close', () => resolve(false));
  });
}

export const libvirtFolder = (home: Home): string => `${home.short}/libvirt`;

/** Guests have this long to shut down when the cloud ends; then they are stopped. They are started again with it. */
const guestsGraceMs = 2500;

export function libvirtPart({ home, runner, reports, cache }: Tools): Part {
  const say = (level: number) => (fields: object, msg: string) => void reports.line('libvirtd', JSON.stringify({ level, time: new Date().toISOString(), service: 'libvirtd', ...fields, msg }));
  const log = { debug: say(20), info: say(30), warn: say(40), error: say(50) };
  return {
    name: 'libvirtd',
    async start(signal, born) {
      shareCapabilities(home, cache);
      const daemon = await startPrivateLibvirtd({ dir: libvirtFolder(home), runner, log, signal });
      born(daemon.pid);
      return { pid: daemon.pid, gone: daemon.exit.then(() => 'it is gone'), stop: () => daemon.stop({ guests: 'shutdown', graceMs: guestsGraceMs }) };
    },
  };
}

/** What emulators can do is found out in seconds, is the same for every state folder, and libvirt checks whether it still holds. */
export const sharedCapabilities = (cache: string): string => `${cache}/libvirt`;

function shareCapabilities(home: Home, cache: string): void {
  mkdirSync(sharedCapabilities(cache), { recursive: true });
  mkdirSync(libvirtFolder(home), { recursive: true, mode: 0o700 });
  if (!existsSync(`${libvirtFolder(home)}/cache`)) symlinkSync(sharedCapabilities(cache), `${libvirtFolder(home)}/cache`);
}

/**
 * Starting leaves twice as much garbage as a service ever needs; each calls `gc` when it is ready. Young generations of V8's default, 16 MiB, grow to all of that whatever the load;
 * half of it costs no time that could be measured, a quarter 8 %.
 */
const heap = ['--expose-gc', '--max-semi-space-size=8'];

/** One of our own processes. It has said `readyWord` in its log when it is ready. */
export function servicePart({ home, runner, reports }: Tools, o: { name: string; main: string; settingsFile: string; compileCache: string; readyWord: string; graceMs: number }): Part {
  let ready = false;
  const word = `"msg":${JSON.stringify(o.readyWord)}`;
  return program(runner, {
    name: o.name, cwd: repository, stopSignal: 'SIGTERM', graceMs: o.graceMs, readyMs: 180_000,
    env: { CUMULET_HOME: home.path, CUMULET_CONFIG: o.settingsFile, NODE_COMPILE_CACHE: o.compileCache },
    async command() {
      ready = false;
      return [process.execPath, ...heap, `${repository}/${o.main}`];
    },
    onLine(line) {
      ready ||= line.includes(word);
      return reports.line(o.name, line);
    },
    ready: () => ready,
  });
}
