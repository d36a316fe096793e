import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** The programs that a storage target is made of: they start together, log into one folder and go together. */
export interface Daemons {
  start(name: string, program: string, args: readonly string[]): void;
  /** Asks again until it is true; a daemon that ended meanwhile, or three minutes, is an error that shows its log. */
  until(what: string, ready: () => Promise<boolean> | boolean): Promise<void>;
  /** `SIGKILL` and a new start with the same arguments. */
  restart(name: string): Promise<void>;
  stop(): Promise<void>;
}

export function daemons(folder: string): Daemons {
  const running = new Map<string, { child: ChildProcess; program: string; args: readonly string[]; log: string }>();
  const end = async (child: ChildProcess, signal: NodeJS.Signals) => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, 'exit');
    child.kill(signal);
    await Promise.race([gone, sleep(20_000).then(() => { child.kill('SIGKILL'); return gone; })]);
  };
  const self: Daemons = {
    start(name, program, args) {
      const log = join(folder, `${name}.log`);
      const out = openSync(log, 'a');
      const child = spawn(program, args, { stdio: ['ignore', out, out], cwd: folder });
      closeSync(out);
      running.set(name, { child, program, args, log });
    },
    async until(what, ready) {
      for (const limit = Date.now() + 180_000; ; await sleep(100)) {
        if (await ready()) return;
        const dead = [...running].find(([, { child }]) => child.exitCode !== null || child.signalCode !== null);
        if (!dead && Date.now() < limit) continue;
        const [name, { log }] = dead ?? [...running][0] as [string, { log: string }];
        throw new Error(`${what} does not come up${dead ? `: ${name} ended` : ''}\n${readFileSync(log, 'utf8').slice(-2000)}`);
      }
    },
    async restart(name) {
      const { child, program, args } = running.get(name) as { child: ChildProcess; program: string; args: readonly string[] };
      await end(child, 'SIGKILL');
      self.start(name, program, args);
    },
    async stop() {
      for (const { child } of [...running.values()].toReversed()) await end(child, 'SIGTERM');
      running.clear();
    },
  };
  return self;
}

/** Says which Debian packages a target needs, when one of its programs is not there. */
export function needPrograms(programs: readonly string[], packages: string): void {
  const missing = programs.filter(p => spawnSync('which', [p]).status !== 0);
  if (missing.length > 0) throw new Error(`${missing.join(', ')} not found: apt-get install --no-install-recommends ${packages}`);
}

/** Runs to its end; throws with what it said. */
export function runProgram(program: string, args: readonly string[], cwd?: string): string {
  const done = spawnSync(program, args, { encoding: 'utf8', timeout: 60_000, ...(cwd === undefined ? {} : { cwd }) });
  if (done.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${done.error?.message ?? ''}${done.stderr}`);
  return done.stdout;
}

/** Ports that nobody has at this moment. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }));
  const ports = servers.map(s => (s.address() as AddressInfo).port);
  await Promise.all(servers.map(s => new Promise(f => s.close(f))));
  return ports;
}
