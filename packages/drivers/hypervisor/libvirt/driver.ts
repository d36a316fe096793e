import { randomUUID } from 'node:crypto';
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Call } from '../../call.ts';
import { exists } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { HypervisorDriver, Servers } from '../contract.ts';
import { createAgent } from './agent.ts';
import { createConsoles, trimConsoleLog } from './console.ts';
import { Context, type LibvirtOptions } from './context.ts';
import { readDevices } from './devices.ts';
import { readDiagnostics } from './diagnostics.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import { Files, hasDirectIo } from './files.ts';
import { hostFacts, ofOwn } from './host-facts.ts';
import { createMigrate } from './migrate.ts';
import { createNics, createVolumes } from './plug.ts';
import { pause, powerOff, powerOn, prepare, reboot, restore, start, suspend, unpause } from './power.ts';
import { createRescue } from './rescue.ts';
import { createResize } from './resize.ts';
import { removeKey, removeSecret } from './secret-setup.ts';
import { Session } from './session.ts';
import { createSnapshot } from './snapshot.ts';
import { createTravel } from './travel.ts';
import { watch } from './watch.ts';

export type { LibvirtOptions } from './context.ts';

const trimEveryMs = 15_000;

/** QEMU by libvirt's own protocol over its unix socket. Connects with the first call; `close()` ends it. */
export async function libvirtHypervisor(options: LibvirtOptions): Promise<HypervisorDriver> {
  const session = new Session({ socketPath: options.socketPath, log: options.log });
  const context = new Context(options, session);
  const files = new Files(options.runner);
  await mkdir(context.instancesDir, { recursive: true, mode: 0o711 });
  context.storageId = await storageId(context.instancesDir);
  if (options.diskCache === undefined && (await hasDirectIo(context.instancesDir))) context.cache = 'none';
  const trimmer = keepConsoleLogsShort(context);
  return {
    name: 'libvirt',
    async check() {
      const version = await context.host.version();
      // the first whose backup job libvirt uses for snapshots
      if (version < 5_002_000) throw new DriverError('unsupported', 'The QEMU of this host is older than 5.2.', { detail: String(version) });
    },
    host: () => hostFacts(context),
    list: () => ofOwn(context, async (domain) => ({ id: domain.uuid, name: domain.name, state: await context.state(domain) })),
    events: (listener) => watch(context, listener),
    async close() {
      clearInterval(trimmer);
      session.close();
    },
    servers: createServers(context, files),
    volumes: createVolumes(context),
    nics: createNics(context),
    console: createConsoles(context),
    snapshot: createSnapshot(context, files),
    rescue: createRescue(context, files),
    resize: createResize(context, files),
    agent: createAgent(context),
    diagnostics: (_call, id) => readDiagnostics(context, id),
    crashDump: async (_call, id) => {
      const domain = await context.require(id);
      const state = await context.state(domain);
      if (state === 'crashed') return;
      if (state !== 'running') throw new DriverError('busy', 'The server is not running.');
      await context.domains.injectNmi(domain);
    },
    travel: createTravel(context, files),
    ...(options.migrationUri !== undefined && { migrate: createMigrate(context, files, options.migrationUri, (call, id, where) => destroy(context, call, id, where)) }),
  };
}

/** Whoever sees the same file sees the same disks. */
async function storageId(folder: string): Promise<string> {
  const path = join(folder, '.storage-id');
  const mine = randomUUID();
  await writeFile(`${path}.${mine}`, mine);
  try {
    await link(`${path}.${mine}`, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    await rm(`${path}.${mine}`);
  }
  return readFile(path, 'utf8');
}

function createServers(context: Context, files: Files): Servers {
  return {
    async create(call, spec, options) {
      const domain = await prepare(context, files, call, spec);
      call.signal.throwIfAborted();
      if (options?.powerOn !== false && ['shutdown', 'crashed'].includes(await context.state(domain))) await start(context, domain);
    },
    destroy: (call, id, options) => destroy(context, call, id, options),
    powerOn: (call, spec) => powerOn(context, files, call, spec),
    powerOff: (call, id, options) => powerOff(context, call, id, options?.timeoutSeconds),
    reboot: (call, spec, type, options) => reboot(context, files, call, spec, type, options?.timeoutSeconds),
    pause: (_call, id) => pause(context, id),
    unpause: (_call, id) => unpause(context, id),
    suspend: (_call, id) => suspend(context, id),
    resume: (call, spec) => powerOn(context, files, call, spec),
    restore: (call, spec, state) => restore(context, files, call, spec, state),
    async powerState(_call, id) {
      const domain = await context.find(id);
      return domain === undefined ? 'nostate' : context.state(domain);
    },
    async devices(_call, id) {
      const domain = await context.require(id);
      return readDevices(await context.xml(domain));
    },
  };
}

async function destroy(context: Context, call: Call, id: string, { keepDisks = false, elsewhere = false } = {}): Promise<void> {
  const folder = context.folder(id);
  const domain = await context.find(id);
  if (domain !== undefined) {
    const defined = await context.xml(domain, 'persistent');
    const volumes = readDevices(defined).disks.flatMap((d) => d.volumeId ?? []);
    await context.kill(domain);
    try {
      await context.domains.undefine(domain);
    } catch (error) {
      if (!isLibvirtCode(error, libvirtCode.noDomain)) throw error;
    }
    for (const disk of defined.at('devices').all('disk')) await removeKey(context, disk);
    for (const volumeId of volumes) await removeSecret(context, volumeId);
  }
  call.signal.throwIfAborted();
  if (elsewhere) return;
  if (keepDisks) {
    for (const name of ['console.log', 'console.log.0', 'serial.sock', 'disk.config']) await rm(join(folder, name), { force: true });
    return;
  }
  for (const suffix of ['', '_resize', '_resize.part', '_reverted', '.incoming']) await rm(folder + suffix, { recursive: true, force: true });
}

function keepConsoleLogsShort(context: Context): NodeJS.Timeout {
  const limit = context.options.consoleLogBytes ?? 4 * 2 ** 20;
  const trim = async (): Promise<void> => {
    for (const entry of await readdir(context.instancesDir, { withFileTypes: true })) {
      if (!entry.isDirectory()) continue;
      const path = join(context.instancesDir, entry.name, 'console.log');
      if ((await exists(path)) && (await trimConsoleLog(path, limit))) context.log.debug({ path }, 'cut a long console log');
    }
  };
  const timer = setInterval(() => {
    trim().catch((error: unknown) => context.log.warn({ err: error }, 'console logs could not be looked at'));
  }, trimEveryMs);
  timer.unref();
  return timer;
}
