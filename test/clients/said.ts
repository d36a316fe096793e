import type { TestCloud } from '../harness/cloud.ts';
import { eventually } from '../harness/processes.ts';

type Client = 'nova' | 'cinder' | 'glance';
type As = 'demo' | 'admin';

/** The answer of `openstack … -f json`. */
export async function json<T = Record<string, unknown>>(said: Promise<string>): Promise<T> {
  return JSON.parse(await said) as T;
}

/** The rows of the tables that nova, cinder and glance print, by the names of their columns. */
export function table(text: string): Record<string, string>[] {
  const rows = text.split('\n').filter((line) => line.startsWith('|')).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  const [head = [], ...body] = rows;
  return body.map((row) => Object.fromEntries(head.map((name, i) => [name, row[i] ?? ''])));
}

/** A table of properties and values as one record. */
export const properties = (text: string): Record<string, string> => Object.fromEntries(table(text).map((row) => [row['Property'] ?? '', row['Value'] ?? '']));

/** An old client's command that succeeds: what it printed. */
export async function old(cloud: TestCloud, client: Client, args: readonly string[], as: As = 'demo'): Promise<string> {
  return (await cloud.client(client, args, { as })).stdout;
}

/** One that fails: everything that it said. Rejects when it succeeds. */
export async function refused(cloud: TestCloud, client: Client | 'openstack', args: readonly string[], as: As = 'demo'): Promise<string> {
  const { stdout, stderr, exitCode } = await cloud.client(client, args, { as, okExitCodes: [1, 2] });
  if (exitCode === 0) throw new Error(`${client} ${args.join(' ')} succeeded: ${stdout}`);
  return `${stdout}${stderr}`;
}

/** Several commands in one `openstack`, as its interactive mode reads them: quicker than one process each. All that it printed. */
export async function session(cloud: TestCloud, commands: readonly string[], as: As = 'demo'): Promise<string> {
  const { stdout, stderr } = await cloud.client('openstack', [], { as, input: `${commands.join('\n')}\n` });
  return `${stdout}${stderr}`;
}

/** Until a resource has a status; an error status ends the wait at once. */
export async function status(cloud: TestCloud, kind: 'server' | 'volume' | 'volume snapshot', name: string, wanted: string, timeoutMs = 60_000): Promise<void> {
  let seen = '';
  await eventually(async () => {
    seen = await cloud.openstack(...kind.split(' '), 'show', name, '-f', 'value', '-c', 'status');
    return seen === wanted || seen.toLowerCase().startsWith('error');
  }, timeoutMs, `${kind} ${name} ${wanted}`);
  if (seen !== wanted) throw new Error(`${kind} ${name} is ${seen}: ${await cloud.openstack(...kind.split(' '), 'show', name)}`);
}
