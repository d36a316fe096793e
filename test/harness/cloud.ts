import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Child, RunOptions, RunResult } from '@cumulet/exec';
import { eventually, runner } from './processes.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const services = ['identity', 'image', 'compute', 'volume', 'network', 'placement', 'operations', 'backupcatalogue'] as const;
export type Port = (typeof services)[number];

export interface CloudOptions {
  /** An empty folder of its own unless given; one that is given is kept. */
  readonly home?: string;
  /** Settings (`CUMULET_…`) over those of the harness: free ports, networks that no other cloud has. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default 120 s: the first start on a machine finds out what its emulators can do. */
  readonly readyMs?: number;
}

export interface TestCloud {
  readonly home: string;
  readonly ports: Readonly<Record<Port, number>>;
  /** From `npm start` to the moment in which `openrc` was there. */
  readonly readyMs: number;
  /** Everything that `npm start` has printed. */
  output(): string;
  /** `openstack ARGS` as the demo user of project demo, by `clouds.yaml`. Rejects when it fails, with what it said. */
  openstack(...args: string[]): Promise<string>;
  /** The same as the admin. */
  admin(...args: string[]): Promise<string>;
  /** Any client with the variables of `openrc-demo` (or `openrc`), for those that know no clouds.yaml: nova, cinder, glance. */
  client(program: string, args: readonly string[], options?: { readonly as?: 'demo' | 'admin' } & RunOptions): Promise<RunResult>;
  /** Of a process that the cloud started: `api`, `worker`, `postgres`, `redis`, `libvirtd`. */
  pid(name: string): number;
  /** Kills it and waits until it is back: another pid in its file. */
  kill(name: string, signal?: NodeJS.Signals): Promise<void>;
  /** Until `openrc` is there again. */
  start(): Promise<void>;
  /** Ctrl-C: rejects when it takes more than ten seconds. */
  stop(): Promise<void>;
  /** Stops it, and removes its folder if it was not given. For `afterAll`. */
  end(): Promise<void>;
}

/** A cloud by `npm start`, as a user has it. */
export async function startCloud(options: CloudOptions = {}): Promise<TestCloud> {
  const home = options.home ?? mkdtempSync('/tmp/cumulet-cloud-');
  const ports = Object.fromEntries(await freePorts(services)) as Record<Port, number>;
  const second = 16 + Math.floor(Math.random() * 200);
  const env = {
    CUMULET_HOME: home,
    ...Object.fromEntries(services.map((name) => [`CUMULET_PORTS_${name.toUpperCase()}`, String(ports[name])])),
    // A machine that runs guests in software and tests beside them is busy, not overloaded.
    CUMULET_HTTP_MAX_EVENT_LOOP_DELAY_MS: '60000',
    CUMULET_NETWORK_PREFIX: `t${second.toString(36)}${Math.floor(Math.random() * 36).toString(36)}`,
    CUMULET_NETWORK_PRIVATE_CIDR: `10.${second}.0.0/24`,
    CUMULET_NETWORK_PUBLIC_CIDR: `10.${second}.1.0/24`,
    ...options.env,
  };
  let printed = '';
  let npm: Child | undefined;
  let readyMs = 0;

  const start = async () => {
    const began = performance.now();
    const child = npm = await runner.spawn('npm', ['start'], { cwd: repository, env, graceMs: 15_000, onLine: (line) => { printed += `${line}\n`; } });
    await eventually(() => !child.running || existsSync(join(home, 'openrc')), options.readyMs ?? 120_000, 'the cloud').catch(async (error: unknown) => {
      await child.stop('SIGINT');
      throw error;
    });
    if (!child.running) throw new Error(`npm start ended:\n${printed}`);
    readyMs = performance.now() - began;
  };
  const stop = async () => {
    if (!npm?.running) return;
    const began = performance.now();
    await npm.stop('SIGINT');
    const took = performance.now() - began;
    if (took > 10_000) throw new Error(`the end took ${Math.round(took)} ms`);
  };
  const pid = (name: string) => Number(readFileSync(join(home, 'run', `${name}.pid`), 'utf8'));
  const client: TestCloud['client'] = (program, args, { as = 'demo', ...more } = {}) =>
    runner.run('sh', ['-c', '. "$0"; exec "$@"', join(home, as === 'admin' ? 'openrc' : 'openrc-demo'), program, ...args], { timeoutMs: 120_000, ...more });
  const openstack = async (cloud: string, args: readonly string[]) => {
    const { stdout } = await runner.run('openstack', args, { timeoutMs: 120_000, env: { OS_CLIENT_CONFIG_FILE: join(home, 'clouds.yaml'), OS_CLOUD: cloud } })
      .catch((error: unknown) => {
        const said = (error as { stderr?: string }).stderr?.trim();
        throw new Error(`openstack ${args.join(' ')}: ${said || String(error)}`, { cause: error });
      });
    return stdout.trimEnd();
  };

  await start();
  return {
    home, ports, pid, client, start, stop,
    get readyMs() { return readyMs; },
    output: () => printed,
    openstack: (...args) => openstack('cumulet', args),
    admin: (...args) => openstack('cumulet-admin', args),
    async kill(name, signal = 'SIGKILL') {
      const before = pid(name);
      process.kill(before, signal);
      await eventually(() => pid(name) !== before, 30_000, `a new ${name}`);
    },
    async end() {
      try {
        await stop();
      } finally {
        if (options.home === undefined) rmSync(home, { recursive: true, force: true });
      }
    },
  };
}

/** All at once, so that no two are the same. */
async function freePorts<N extends string>(names: readonly N[]): Promise<[N, number][]> {
  const servers = await Promise.all(names.map((name) => new Promise<[N, ReturnType<typeof createServer>]>((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => resolve([name, server]));
  })));
  const found = servers.map(([name, server]): [N, number] => [name, (server.address() as AddressInfo).port]);
  await Promise.all(servers.map(([, server]) => new Promise((resolve) => server.close(resolve))));
  return found;
}
