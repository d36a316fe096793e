import type { Child } from '@cumulet/exec';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { runner } from '../harness/processes.ts';
import { table } from './said.ts';

interface Said { readonly code: number; readonly out: string; readonly err: string }
export interface Shell {
  /** A command of cinder's that succeeds: what it printed. `cinder('list --all-tenants')`; a list where an argument has blanks. */
  cinder(args: string | readonly string[], o?: Options): Promise<string>;
  /** Its table of two columns as a record. */
  one(args: string | readonly string[], o?: Options): Promise<Record<string, string>>;
  /** Its table of rows. */
  rows(args: string | readonly string[], o?: Options): Promise<Record<string, string>[]>;
  /** A command that fails: all that it said. */
  refused(args: string | readonly string[], o?: Options): Promise<string>;
  openstack(args: string | readonly string[], o?: Options): Promise<string>;
  nova(args: string | readonly string[], o?: Options): Promise<string>;
  glance(args: string | readonly string[], o?: Options): Promise<string>;
  /** What a program that fails says. */
  fails(program: 'nova' | 'openstack', args: string | readonly string[], o?: Options): Promise<string>;
  brick(verb: 'local-attach' | 'local-detach', volume: string, host: string): Promise<Record<string, string>>;
  /** Until `cinder show` has this status (by default available); an error status ends the wait. */
  settled(volume: string, wanted?: string, o?: Options): Promise<Record<string, string>>;
  /** Until a volume is gone. */
  gone(volume: string, o?: Options): Promise<void>;
  end(): Promise<void>;
}
interface Options { readonly as?: 'demo' | 'admin'; /** OS_VOLUME_API_VERSION; default 3.70. */ readonly version?: string }

/** A table of two columns, whatever their names, as one record. */
const pairs = (text: string): Record<string, string> => Object.fromEntries(table(text).map(row => Object.values(row).slice(0, 2) as [string, string]));

/** Debian's clients in one process, against the cloud of that state folder. */
export async function openShell(home: string): Promise<Shell> {
  const env = Object.fromEntries((['demo', 'admin'] as const).map(as => [as, Object.fromEntries([...readFileSync(join(home, as === 'admin' ? 'openrc' : 'openrc-demo'), 'utf8').matchAll(/^export (OS_\w+)=(?:'([^']*)'|"([^"]*)"|(.*))$/gm)].map(m => [m[1], m[2] ?? m[3] ?? m[4] ?? '']))]));
  // One process for each user. openstackclient does not outlive a command: it keeps what the first one asked for.
  const process = async () => {
    const waiting: ((said: Said) => void)[] = [];
    const child: Child = await runner.spawn('/usr/bin/python3', [fileURLToPath(new URL('shell.py', import.meta.url))], { stdin: 'pipe', stdout: 'pipe' });
    createInterface({ input: child.stdout as NonNullable<Child['stdout']> }).on('line', line => waiting.shift()?.(JSON.parse(line) as Said));
    void child.exit.then(({ stderr }) => { for (const go of waiting.splice(0)) go({ code: 255, out: '', err: `the clients ended: ${stderr}` }); });
    return { child, ask: (command: object) => new Promise<Said>(go => { waiting.push(go); child.stdin?.write(`${JSON.stringify(command)}\n`); }) };
  };
  const users = { demo: await process(), admin: await process() };
  const ask = (program: string, args: readonly string[], { as = 'demo', version = '3.70' }: Options = {}, more: Record<string, string> = {}) =>
    users[as].ask({ program, args, env: { ...env[as], OS_VOLUME_API_VERSION: program === 'cinder' ? version : '3', ...more } });
  const words = (args: string | readonly string[]) => (typeof args === 'string' ? args.split(' ') : args);
  const good = async (program: string, args: string | readonly string[], o?: Options): Promise<string> => {
    const said = await ask(program, words(args), o);
    if (said.code !== 0) throw new Error(`${program} ${words(args).join(' ')}: ${said.out}${said.err}`);
    return said.out;
  };
  const cinder: Shell['cinder'] = (args, o) => good('cinder', args, o);
  const until = async (what: string, look: () => Promise<boolean>) => {
    for (const end = performance.now() + 60_000; performance.now() < end; await new Promise(go => setTimeout(go, 150))) if (await look()) return;
    throw new Error(`${what} did not come within 60 s`);
  };
  return {
    cinder, one: async (args, o) => pairs(await cinder(args, o)), rows: async (args, o) => table(await cinder(args, o)), openstack: async (args, { as = 'demo' } = {}) => (await runner.run('/usr/bin/openstack', words(args), { timeoutMs: 120_000, env: { ...env[as], PATH: '/usr/bin:/bin' } })).stdout,
    nova: (args, o) => good('nova', args, o), glance: (args, o) => good('glance', args, o),
    async fails(program, args, o) {
      const said = await ask(program, words(args), o);
      if (said.code === 0) throw new Error(`${program} ${words(args).join(' ')} succeeded: ${said.out}`);
      return `${said.out}${said.err}`;
    },
    async refused(args, o) {
      const said = await ask('cinder', words(args), o);
      // Some commands (migrate) print the refusal and end well.
      if (said.code === 0 && !/\bfailed: /.test(said.out + said.err)) throw new Error(`cinder ${words(args).join(' ')} succeeded: ${said.out}`);
      return `${said.out}${said.err}`;
    },
    async brick(verb, volume, host) {
      const said = await ask('brick', [verb, volume], {}, { BRICK_HOST: host });
      if (said.code !== 0) throw new Error(`${verb}: ${said.err}`);
      return said.out === '' ? {} : JSON.parse(said.out) as Record<string, string>;
    },
    async settled(volume, wanted = 'available', o) {
      let shown: Record<string, string> = {};
      await until(`${volume} ${wanted}`, async () => { shown = pairs(await cinder(['show', volume], o)); return shown['status'] === wanted || (shown['status'] ?? '').startsWith('error'); });
      if (shown['status'] !== wanted) throw new Error(`${volume} is ${shown['status']}`);
      return shown;
    },
    gone: (volume, o) => until(`the end of ${volume}`, async () => !table(await cinder('list --all-tenants', { as: 'admin', ...o })).some(row => row['ID'] === volume || row['Name'] === volume)),
    async end() { await Promise.all(Object.values(users).map(u => u.child.stop())); },
  };
}
