import { readFile } from 'node:fs/promises';

/** When a process began, in ticks since the machine did (proc(5), field 22); a pid alone may be somebody else's by now. */
export async function bornAt(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

/** `<pid>-<when that process began>`: whose a temporary thing is. */
export const ownerName = async (): Promise<string> => `${process.pid}-${await bornAt(process.pid) ?? 0}`;
/** Is the owner, named like that at the start of `name`, still there? */
export async function ownerLives(name: string): Promise<boolean> {
  const [, pid, born] = /^(\d+)-(\d+)-/.exec(name) ?? [];
  return pid !== undefined && await bornAt(Number(pid)) === born;
}
