import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Call } from '../../call.ts';
import { exists } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { Snapshot } from '../contract.ts';
import { freezeIfPossible } from './agent.ts';
import type { Context } from './context.ts';
import { aliasOf, readDevices } from './devices.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import type { Files } from './files.ts';
import type { DomainHandle } from './protocol.ts';
import { toXml } from './xml.ts';

export function createSnapshot(context: Context, files: Files): Snapshot {
  return {
    async rootDisk(call, id, destination, { format, quiesce = 'try' }) {
      const domain = await context.require(id);
      const disk = join(context.folder(id), 'disk');
      if (!(await exists(disk))) throw new DriverError('invalid', 'The server has no root disk of its own: its root is a volume.');
      await mkdir(dirname(destination), { recursive: true });
      const part = `${destination}.part`;
      const state = await context.state(domain);
      let quiesced = false;
      try {
        if (state === 'running' || state === 'paused') {
          await endFormerJob(context, call, domain);
          await rm(part, { force: true });
          quiesced = await copyLive(context, call, domain, part, format, state === 'running' ? quiesce : 'no');
        } else {
          await rm(part, { force: true });
          await files.flatten(call, { path: disk, format: 'qcow2' }, { path: part, format });
        }
        await rename(part, destination);
      } catch (error) {
        await rm(part, { force: true });
        throw error;
      }
      const virtualSizeBytes = await files.virtualSize(call, { path: destination, format });
      return { virtualSizeBytes, sizeBytes: (await stat(destination)).size, quiesced };
    },
  };
}

/** A worker that died left its copy running: nobody wants it any more. */
async function endFormerJob(context: Context, call: Call, domain: DomainHandle): Promise<void> {
  if (!(await context.domains.job(domain)).active) return;
  await context.domains.abortJob(domain);
  if (!(await context.wait(call, domain.uuid, 30_000, async () => !(await context.domains.job(domain)).active))) {
    throw new DriverError('busy', 'The hypervisor is busy with another operation on this server.');
  }
}

/**
 * QEMU's backup job: the copy is of the moment when it begins, and old blocks are saved before the guest overwrites them. So the file
 * systems are frozen for some milliseconds only, however long the copy takes, and nothing is ever merged back into a disk.
 */
async function copyLive(context: Context, call: Call, domain: DomainHandle, part: string, format: string, quiesce: 'try' | 'require' | 'no'): Promise<boolean> {
  const live = await context.xml(domain);
  const root = live.at('devices').all('disk').find((d) => aliasOf(d) === 'ua-disk')?.at('target').attribute('dev');
  if (root === undefined) throw new DriverError('broken', 'The root disk of the server was not found.');
  const others = readDevices(live).disks.filter((d) => d.device !== root);
  const xml = toXml({ domainbackup: { '@mode': 'push', disks: { disk: [
    { '@name': root, '@backup': 'yes', '@type': 'file', driver: { '@type': format }, target: { '@file': part } },
    ...others.map((d) => ({ '@name': d.device, '@backup': 'no' })),
  ] } } });
  const frozen = quiesce === 'no' ? false : await freezeIfPossible(context, call, domain);
  if (!frozen && quiesce === 'require') throw new DriverError('unsupported', 'The server has no guest agent that answers, which its image requires for a snapshot.');
  try {
    await context.domains.backupBegin(domain, xml, 0);
  } finally {
    if (frozen) await context.domains.thaw(domain);
  }
  try {
    await context.wait(call, domain.uuid, Number.MAX_SAFE_INTEGER, async () => {
      const { active, done, total } = await context.domains.job(domain);
      if (active) call.progress(done, total);
      return !active;
    });
  } catch (error) {
    await context.domains.abortJob(domain).catch((e: unknown) => call.log.warn({ err: e, serverId: domain.uuid }, 'the copy could not be aborted'));
    throw error;
  }
  const { ok, reason } = await finished(context, domain);
  if (!ok) throw new DriverError(/no space/i.test(reason) ? 'full' : 'broken', 'The snapshot could not be taken.', { detail: reason });
  return frozen;
}

/** A server that stopped in the middle has no job to ask about, and its copy is not whole. */
async function finished(context: Context, domain: DomainHandle): Promise<{ ok: boolean; reason: string }> {
  try {
    return await context.domains.completedJob(domain);
  } catch (error) {
    if (isLibvirtCode(error, libvirtCode.operationInvalid)) return { ok: false, reason: 'the server stopped during the snapshot' };
    throw error;
  }
}
