import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Rescue } from '../contract.ts';
import type { Context } from './context.ts';
import type { Files } from './files.ts';
import { powerOff, prepare, start } from './power.ts';

export function createRescue(context: Context, files: Files): Rescue {
  const rescueFiles = (id: string): string[] => ['disk.rescue', 'disk.config.rescue'].map((name) => join(context.folder(id), name));
  const rescuedNow = async (id: string): Promise<boolean> => {
    const domain = await context.require(id);
    const mark = (await context.xml(domain)).at('metadata', 'cumulet:server');
    return mark.attribute('rescued') === 'yes' && (await context.state(domain)) === 'running';
  };
  return {
    async start(call, spec, rescue, options) {
      const rescuing = { ...spec, rescue };
      if (await rescuedNow(spec.id)) return;
      await powerOff(context, call, spec.id, options?.timeoutSeconds);
      // of a rescue that was given up half-way, perhaps with another image
      for (const path of rescueFiles(spec.id)) await rm(path, { force: true });
      await start(context, await prepare(context, files, call, rescuing), { fresh: true });
    },
    async stop(call, spec) {
      const usual = { ...spec, rescue: undefined };
      if (await rescuedNow(spec.id)) await context.kill(await context.require(spec.id));
      await start(context, await prepare(context, files, call, usual), { fresh: true });
      for (const path of rescueFiles(spec.id)) await rm(path, { force: true });
    },
  };
}
