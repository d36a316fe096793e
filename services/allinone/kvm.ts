import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { probeKvm } from '@cumulet/drivers/hypervisor';
import type { Runner } from '@cumulet/exec';

const emulator = '/usr/bin/qemu-system-x86_64';

/** An answer holds for a kernel and an emulator. */
const key = () => `${release()} ${existsSync(emulator) ? statSync(emulator).mtimeMs : 'none'}`;

interface Answer { readonly key: string; readonly usable: boolean; readonly reason: string }

const fileIn = (cache: string) => join(cache, 'kvm.json');

/** What was found out on this machine, if it was. */
export function knownKvm(cache: string): Answer | undefined {
  if (!existsSync(fileIn(cache))) return undefined;
  const answer = JSON.parse(readFileSync(fileIn(cache), 'utf8')) as Answer;
  return answer.key === key() ? answer : undefined;
}

/** Boots the demo guest under KVM: seconds, so the answer is kept. */
export async function findOutKvm(runner: Runner, cache: string, disk: string): Promise<Answer> {
  const answer = { key: key(), ...(await probeKvm({ runner, guest: { disk, format: 'qcow2', expect: /GUEST-READY/ } })) };
  writeFileSync(fileIn(cache), JSON.stringify(answer));
  return answer;
}
