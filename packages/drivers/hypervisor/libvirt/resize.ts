import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call } from '../../call.ts';
import { exists } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { Resize, ServerSpec } from '../contract.ts';
import { checkSpec } from '../validate.ts';
import type { Context } from './context.ts';
import type { Files } from './files.ts';
import { powerOff, prepare, start } from './power.ts';

const GiB = 2 ** 30;

export function createResize(context: Context, files: Files): Resize {
  const aside = (id: string): string => `${context.folder(id)}_resize`;
  return {
    async apply(call, from, to, { powerOn = true, timeoutSeconds = 60 } = {}) {
      checkSpec(from);
      checkSpec(to);
      refuseShrinking(from, to);
      await powerOff(context, call, from.id, timeoutSeconds);
      if (!(await exists(aside(from.id)))) await files.copyFolder(call, context.folder(from.id), aside(from.id));
      await grow(files, call, context.folder(to.id), from, to);
      const domain = await prepare(context, files, call, to);
      if (powerOn) await start(context, domain, { fresh: true });
    },
    async keep(call, id) {
      if (!(await exists(aside(id)))) await files.copyFolder(call, context.folder(id), aside(id));
    },
    async confirm(_call, id) {
      await rm(aside(id), { recursive: true, force: true });
    },
    async revert(call, from, { powerOn = true } = {}) {
      checkSpec(from);
      const folder = context.folder(from.id);
      if (await exists(aside(from.id))) {
        const domain = await context.find(from.id);
        if (domain !== undefined) await context.kill(domain);
        // renamed in an order that leaves the old disks findable wherever it is interrupted
        await rm(`${folder}_reverted`, { recursive: true, force: true });
        if (await exists(folder)) await rename(folder, `${folder}_reverted`);
        await rename(aside(from.id), folder);
      }
      await rm(`${folder}_reverted`, { recursive: true, force: true });
      const domain = await prepare(context, files, call, from);
      if (powerOn) await start(context, domain);
    },
    async grow(call, from, to) {
      checkSpec(to);
      refuseShrinking(from, to);
      await grow(files, call, context.folder(to.id), from, to);
    },
  };
}

function refuseShrinking(from: ServerSpec, to: ServerSpec): void {
  if (from.root.kind !== to.root.kind) throw new DriverError('invalid', 'A resize cannot change what the root disk is.');
  if (from.root.kind === 'image' && to.root.kind === 'image' && to.root.sizeGiB < from.root.sizeGiB && to.root.sizeGiB !== 0) {
    throw new DriverError('invalid', 'The root disk cannot shrink.');
  }
}

async function grow(files: Files, call: Call, folder: string, from: ServerSpec, to: ServerSpec): Promise<void> {
  const disk = join(folder, 'disk');
  if (to.root.kind === 'image' && to.root.sizeGiB > 0 && (await exists(disk))) await files.grow(call, { path: disk, format: 'qcow2' }, to.root.sizeGiB * GiB);
  for (const [i, ephemeral] of (to.ephemerals ?? []).entries()) {
    const path = join(folder, `disk.eph${i}`);
    if (await exists(path)) await files.grow(call, { path, format: 'raw' }, ephemeral.sizeGiB * GiB);
  }
  // swap holds nothing worth keeping: another size is a new one
  if ((from.swapMiB ?? 0) !== (to.swapMiB ?? 0)) await rm(join(folder, 'disk.swap'), { force: true });
}
