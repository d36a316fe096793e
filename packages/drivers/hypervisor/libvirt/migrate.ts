import { rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { Migrate, MigrationTarget, ServerSpec } from '../contract.ts';
import { checkSpec } from '../validate.ts';
import type { Context } from './context.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import type { Files } from './files.ts';
import { domainState, flag, pausedReason, type DomainHandle } from './protocol.ts';
import { setSecrets } from './secret-setup.ts';

const progressMs = 500;

/**
 * Peer to peer: the source's libvirtd calls the destination's by its `migrationUri` and both QEMUs talk to each other. Disks that are not shared are copied
 * on the way, through the same peers; their bases are at both ends already.
 */
export function createMigrate(context: Context, files: Files, migrationUri: string, destroy: (call: Call, id: string, options: { elsewhere: boolean }) => Promise<void>): Migrate {
  const sockets = (id: string) => ({ memory: `${context.folder(id)}.m`, disks: `${context.folder(id)}.d` });
  return {
    async prepare(call, spec, { sharedDisks }) {
      checkSpec(spec);
      if (await context.find(spec.id)) throw new DriverError('busy', 'The host has this server already.');
      await setSecrets(context, spec);
      if (!sharedDisks) await files.build(call, context.folder(spec.id), spec);
      const local = migrationUri.startsWith('qemu+unix:');
      const { memory, disks } = sockets(spec.id);
      for (const path of [memory, disks]) await rm(path, { force: true });
      return {
        uri: migrationUri, folder: context.folder(spec.id), owner: context.instancesDir, base: spec.root.kind === 'image' ? spec.root.imagePath : '',
        nics: JSON.stringify(Object.fromEntries((spec.nics ?? []).map((n) => [n.mac.toLowerCase(), { bridge: n.bridge, tapName: n.tapName }]))),
        // Two daemons of one machine: nothing listens on its network.
        ...(local && { memoryUri: `unix://${memory}`, disksUri: `unix://${disks}` }),
      };
    },
    async live(call, spec, target, { sharedDisks, bandwidthMiBs }) {
      const domain = await context.find(spec.id);
      if (domain === undefined) return;
      if (!['running', 'paused'].includes(await context.state(domain))) throw new DriverError('busy', 'The server is not running.');
      // A worker that died left it under way: the daemons finish it by themselves.
      if ((await context.domains.job(domain)).active) {
        await context.wait(call, domain.uuid, Number.MAX_SAFE_INTEGER, async () => !(await context.domains.job(domain).catch(ended)).active);
        if ((await context.find(spec.id)) === undefined) return;
      }
      const [live, persistent] = [translated(await context.domains.migratableXml(domain), context, spec, target), translated(await context.domains.migratableXml(domain, 'persistent'), context, spec, target)];
      const copied = sharedDisks ? [] : await localDisks(context, domain);
      // libvirt takes a disk for shared where it knows the kind of file system; the cloud has asked both hosts. Only what the page cache of a host may still hold is left to libvirt to refuse.
      const flags = flag.migrateLive | flag.migratePeer2peer | flag.migratePersistDest | flag.migrateUndefineSource | flag.migrateAbortOnError | flag.migrateAutoConverge
        | (copied.length > 0 ? flag.migrateNonSharedInc : 0) | (context.cache === 'writeback' ? 0 : flag.migrateUnsafe);
      const text = (name: string) => (typeof target[name] === 'string' ? (target[name] as string) : undefined);
      const over = context.domains.migrate(domain, text('uri') ?? '', {
        destination_xml: live, persistent_xml: persistent, migrate_uri: text('memoryUri'), disks_uri: copied.length > 0 ? text('disksUri') : undefined, migrate_disks: copied,
        ...(bandwidthMiBs !== undefined && { bandwidth: bandwidthMiBs }),
      }, flags);
      await watched(context, call, domain, over);
      if (!sharedDisks) await rm(context.folder(spec.id), { recursive: true, force: true });
    },
    // A guest that does not run writes no memory: what is left is copied once, and it goes on over there.
    async force(_call, id) {
      await context.domains.suspend(await context.require(id));
    },
    async abandon(call, id, { sharedDisks }) {
      const domain = await context.find(id);
      if (domain !== undefined) {
        const { state, reason } = await context.domains.state(domain);
        const waiting = state === domainState.paused && (reason === pausedReason.migration || reason === pausedReason.startingUp);
        if (['running', 'paused'].includes(await context.state(domain)) && !waiting) return { arrived: true };
      }
      await destroy(call, id, { elsewhere: sharedDisks });
      for (const path of Object.values(sockets(id))) await rm(path, { force: true });
      return { arrived: false };
    },
  };
}

const ended = (error: unknown): { active: boolean; done: number; total: number } => {
  if (isLibvirtCode(error, libvirtCode.noDomain, libvirtCode.operationInvalid)) return { active: false, done: 0, total: 0 };
  throw error;
};

/** Until the daemon says how it ended; an abort of the call ends the job, and the guest goes on here. */
async function watched(context: Context, call: Call, domain: DomainHandle, over: Promise<void>): Promise<void> {
  const abort = (): void => {
    context.domains.abortJob(domain).catch((error: unknown) => call.log.warn({ err: error, serverId: domain.uuid }, 'the migration could not be aborted'));
  };
  const timer = setInterval(() => {
    context.domains.job(domain).then(({ done, total }) => call.progress(done, total), (error: unknown) => call.log.debug({ err: error }, 'the migration does not say how far it is'));
  }, progressMs);
  if (call.signal.aborted) abort();
  call.signal.addEventListener('abort', abort, { once: true });
  try {
    await over;
  } catch (error) {
    call.signal.throwIfAborted();
    throw error;
  } finally {
    clearInterval(timer);
    call.signal.removeEventListener('abort', abort);
  }
}

/** Those that lie in the server's own folder and are written to. */
async function localDisks(context: Context, domain: DomainHandle): Promise<string[]> {
  const folder = context.folder(domain.uuid);
  const disks = (await context.xml(domain)).at('devices').all('disk');
  return disks.filter((d) => !d.at('readonly').exists && (d.at('source').attribute('file') ?? '').startsWith(`${folder}/`)).map((d) => d.at('target').attribute('dev') ?? '');
}

/** The domain as it is, addresses and all, with the places of the other host. libvirt quotes with apostrophes. */
function translated(xml: string, context: Context, spec: ServerSpec, target: MigrationTarget): string {
  const swap: [string, string][] = [[`${context.folder(spec.id)}/`, `${String(target['folder'])}/`], [`'${context.instancesDir}'`, `'${String(target['owner'])}'`], [`"${context.instancesDir}"`, `"${String(target['owner'])}"`]];
  const base = String(target['base'] ?? '');
  if (spec.root.kind === 'image' && base !== '') swap.push([`'${spec.root.imagePath}'`, `'${base}'`], [`'${dirname(spec.root.imagePath)}/`, `'${dirname(base)}/`]);
  const there = JSON.parse(String(target['nics'] ?? '{}')) as Record<string, { bridge: string; tapName: string }>;
  for (const nic of spec.nics ?? []) {
    const to = there[nic.mac.toLowerCase()];
    if (to === undefined) throw new DriverError('broken', 'The destination does not know a network interface of the server.', { detail: nic.mac });
    swap.push([`'${nic.tapName}'`, `'${to.tapName}'`], [`'${nic.bridge}'`, `'${to.bridge}'`]);
  }
  return swap.reduce((text, [from, to]) => text.replaceAll(from, to), xml);
}
