import { expect } from 'vitest';
import type { TestCloud } from '../harness/cloud.ts';
import { properties, table } from './said.ts';

export interface Said { readonly code: number; readonly out: string; readonly error: string }

/**
 * Debian's glance client, many commands in one process: each starts from its `main` with its own arguments, as if it were typed; only the interpreter
 * and its imports, most of a command's time, are shared. Its stdin is a terminal, since glance reads data from anything else.
 */
const program = `
import contextlib, io, json, os, pty, sys
from glanceclient import shell
commands = json.load(sys.stdin)
_, slave = pty.openpty()
os.dup2(slave, 0)
sys.stdin = os.fdopen(0)
said = []
for command in commands:
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            shell.OpenStackImagesShell().main(command)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
            if isinstance(ended.code, str): print(ended.code, file=sys.stderr)
        except Exception as error:
            code = 1
            print(error, file=sys.stderr)
    said.append({'code': code, 'out': out.getvalue(), 'error': err.getvalue()})
print(json.dumps(said))
`;

/** What each command said, in order. */
export async function glance(cloud: TestCloud, as: 'demo' | 'admin', ...commands: readonly (readonly string[])[]): Promise<Said[]> {
  const { stdout } = await cloud.client('python3', ['-c', program], { as, input: JSON.stringify(commands) });
  return JSON.parse(stdout) as Said[];
}

/** One command that must succeed: what it printed. */
export async function glanced(cloud: TestCloud, as: 'demo' | 'admin', ...command: readonly string[]): Promise<string> {
  const [said] = await glance(cloud, as, command);
  expect(said, command.join(' ')).toMatchObject({ code: 0 });
  return said?.out ?? '';
}
/** Commands that must all succeed: what each printed, as one record of properties where it is one. */
export async function glancedAll(cloud: TestCloud, as: 'demo' | 'admin', ...commands: readonly (readonly string[])[]): Promise<string[]> {
  const all = await glance(cloud, as, ...commands);
  all.forEach((said, i) => expect(said, commands[i]?.join(' ')).toMatchObject({ code: 0 }));
  return all.map(said => said.out);
}
/** A command that shows one thing. */
export const shown = async (cloud: TestCloud, as: 'demo' | 'admin', ...command: readonly string[]): Promise<Record<string, string>> => properties(await glanced(cloud, as, ...command));
/** A command that lists. */
export const listed = async (cloud: TestCloud, as: 'demo' | 'admin', ...command: readonly string[]): Promise<Record<string, string>[]> => table(await glanced(cloud, as, ...command));
