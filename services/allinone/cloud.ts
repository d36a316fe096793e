import { networkInterfaces } from 'node:os';
import { resolve } from 'node:path';
import { services, type ServiceName, type Settings } from '@cumulet/config';
import { plainCall } from '@cumulet/drivers';
import { chooseBackends, hostNetwork, simulated, type Backends } from './backends.ts';
import { writeCredentials } from './credentials.ts';
import { ensureDatabase, migrateDatabase } from './database.ts';
import { download } from './download.ts';
import { guestImage } from './guest-image/build.ts';
import { knownKvm } from './kvm.ts';
import { embeddedPostgresUrl, embeddedRedisUrl, libvirtFolder, libvirtPart, postgresPart, redisPart, servicePart, type Tools } from './parts.ts';
import { keepPasswords, writePrivate } from './passwords.ts';
import { Refusal } from './refusal.ts';
import type { Supervisor } from './supervisor.ts';
import type { Terminal } from './terminal.ts';

export interface CloudOptions extends Tools {
  readonly settings: Settings;
  readonly supervisor: Supervisor;
  readonly terminal: Terminal;
}

/** What the person is told when the cloud is up. */
export interface Summary {
  readonly settings: Settings;
  readonly backends: Backends;
}

const database = 'cumulet';

/** Starts everything, in the order in which it is needed and together where it can be. The credentials are written last. */
export async function startCloud(o: CloudOptions): Promise<Summary> {
  const { home, supervisor, terminal } = o;
  const step = <T>(what: string, work: Promise<T>): Promise<T> => timed(terminal, what, work);
  const chosen = chooseBackends(o.settings, home, o.runner);
  // The first libvirtd of a machine asks every emulator what it can do, which takes seconds. Only the worker needs it.
  const real = chosen.then((backends) => startLibvirt(o, backends));
  real.catch(() => undefined);
  const [databaseUrl, redisUrl, image, likely] = await all([
    step('database', startDatabase(o)),
    o.settings.redisUrl ? Promise.resolve(o.settings.redisUrl) : supervisor.start(redisPart(o)).then(() => embeddedRedisUrl(home)),
    demoImage(o),
    chosen,
  ]);
  const passwords = keepPasswords(home.file('passwords.json'), o.settings.passwords);
  const settingsFile = home.file('run', 'settings.json');
  /** The children read their settings from a file: what was decided here, and what was in the environment of this process. */
  const decide = (backends: Backends): Settings => {
    const settings: Settings = {
      ...o.settings, databaseUrl, redisUrl, passwords,
      publicHost: o.settings.publicHost ?? reachableHost(o.settings.bind),
      hypervisor: { ...o.settings.hypervisor, driver: backends.hypervisor, virtType: virtType(o), ...(backends.libvirtSocket && { libvirtSocket: backends.libvirtSocket }) },
      network: { ...o.settings.network, driver: backends.network },
      demo: { ...o.settings.demo, ...(image && { image }) },
    };
    writePrivate(settingsFile, JSON.stringify(settings, null, 2));
    return settings;
  };
  const { publicHost } = decide(likely);
  let usable = false;
  const admit = () => {
    if (usable) writeCredentials(home.path, { authUrl: `http://${publicHost}:${o.settings.ports.identity}/v3`, region: o.settings.region, passwords });
  };
  const child = { settingsFile, compileCache: `${o.cache}/node` };
  const api = servicePart(o, { ...child, name: 'api', main: 'services/allinone/api.ts', readyWord: 'listening', graceMs: 3000 });
  const worker = servicePart(o, { ...child, name: 'worker', main: 'services/worker/main.ts', readyWord: 'working', graceMs: 3500 });
  const [, backends] = await all([
    step('services', supervisor.start({ ...api, revived: admit })),
    step('worker', real.then(async (found) => {
      if (found.note) terminal.say(found.note);
      decide(found);
      await supervisor.start(worker);
      return found;
    })),
  ]);
  usable = true;
  admit();
  return { settings: decide(backends), backends };
}

/** Everything has ended this long after the end was asked for. */
const endMs = 9_000;
/** The network gets this much of it at least, even where guests took their time: a busy machine had better be late than be left with bridges. */
const networkEndMs = 5_000;

/**
 * Ends everything. First those who act: a server that is stopped now must not be taken for one that its user stopped. Then
 * guests and their networks, beside the databases, which nobody asks any more.
 */
export async function stopCloud({ supervisor, ...o }: CloudOptions, real: boolean): Promise<void> {
  const latest = performance.now() + endMs;
  await supervisor.stop('api', 'worker');
  const guests = async () => {
    await supervisor.stop('libvirtd');
    if (!real) return;
    const call = plainCall('the end', AbortSignal.timeout(Math.max(networkEndMs, Math.round(latest - performance.now()))));
    await hostNetwork(o.settings, o.home, o.runner).stopAll(call, { keepWires: false })
      .catch((error: unknown) => o.terminal.warn('network', `not all of it could be removed: ${error instanceof Error ? error.message : String(error)}`));
  };
  await all([guests(), supervisor.stop('redis', 'postgres')]);
}

export const endpoint = (settings: Settings, service: ServiceName): string => `http://${settings.publicHost ?? settings.bind}:${settings.ports[service]}`;
export const serviceNames = Object.keys(services) as ServiceName[];

async function startDatabase(o: CloudOptions): Promise<string> {
  let url = o.settings.databaseUrl;
  if (!url) {
    await o.supervisor.start(postgresPart(o));
    await ensureDatabase(embeddedPostgresUrl(o.home), database);
    url = embeddedPostgresUrl(o.home, database);
  }
  await migrateDatabase(url);
  return url;
}

async function startLibvirt(o: CloudOptions, chosen: Backends): Promise<Backends> {
  if (chosen.hypervisor === 'fake' || chosen.libvirtSocket) return chosen;
  try {
    await o.supervisor.start(libvirtPart(o));
  } catch (error) {
    if (o.supervisor.signal.aborted) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    if (o.settings.hypervisor.driver === 'libvirt') throw new Refusal(`hypervisor.driver is libvirt: ${reason}`);
    return { hypervisor: 'fake', network: 'fake', note: simulated(reason) };
  }
  return { ...chosen, libvirtSocket: `${libvirtFolder(o.home)}/run/libvirt-sock` };
}

/** A file for the demo image, if one is wanted: the one named, or one that can be built here. Without one the cloud goes on. */
async function demoImage(o: CloudOptions): Promise<string | undefined> {
  const { enabled, image } = o.settings.demo;
  if (!enabled) return undefined;
  try {
    if (image === undefined) return await timed(o.terminal, 'demo image', guestImage(o.runner, o.cache));
    if (!/^https?:/.test(image)) return resolve(image);
    let far = '';
    const tell = (done: number, total: number) => { far = `${(done / 1e6).toFixed(0)} MB${total > 0 ? ` of ${(total / 1e6).toFixed(0)} MB` : ''}`; };
    return await timed(o.terminal, 'demo image', download(image, o.cache, o.supervisor.signal, tell), () => far);
  } catch (error) {
    if (!o.supervisor.signal.aborted) o.terminal.say(`no demo image: ${error instanceof Error ? error.message : String(error)}`);
    return undefined;
  }
}

/** Says that a long step is under way, and how long it took. */
async function timed<T>(terminal: Terminal, what: string, work: Promise<T>, far = () => ''): Promise<T> {
  const began = performance.now();
  const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const patience = setInterval(() => terminal.say(`${what}: ${far() || 'still at it'} (${seconds()})`), 5000);
  try {
    const result = await work;
    if (performance.now() - began > 1000) terminal.say(`${what}: ready (${seconds()})`);
    return result;
  } finally {
    clearInterval(patience);
  }
}

/** Like Promise.all, but waits for all of them even if one fails: nothing may be under way when the end begins. */
async function all<T extends readonly Promise<unknown>[]>(work: readonly [...T]): Promise<{ -readonly [I in keyof T]: Awaited<T[I]> }> {
  const results = await Promise.allSettled(work);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
  return results.map((r) => (r as PromiseFulfilledResult<unknown>).value) as { -readonly [I in keyof T]: Awaited<T[I]> };
}

/** `auto` stays when nobody has tried yet; then the worker does. */
function virtType({ settings, cache }: CloudOptions): Settings['hypervisor']['virtType'] {
  const known = settings.hypervisor.virtType === 'auto' ? knownKvm(cache) : undefined;
  return known ? (known.usable ? 'kvm' : 'qemu') : settings.hypervisor.virtType;
}

/** What to write in URLs for an address that services listen on. */
function reachableHost(bind: string): string {
  if (bind === '0.0.0.0' || bind === '::') {
    const outside = Object.values(networkInterfaces()).flat().find((a) => a && !a.internal && a.family === 'IPv4');
    return outside?.address ?? '127.0.0.1';
  }
  return bind.includes(':') ? `[${bind}]` : bind;
}
