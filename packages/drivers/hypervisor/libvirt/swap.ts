import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { Swap, VolumeDisk } from '../contract.ts';
import { checkVolume } from '../validate.ts';
import type { Context } from './context.ts';
import { diskXml, keyOf, luksSecretUsage } from './disk-xml.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import { both, deviceWith, isVolume } from './plugged.ts';
import { flag, type DomainHandle } from './protocol.ts';
import { setSecret } from './secret-setup.ts';
import { parseXml, toXml, type Element } from './xml.ts';

/**
 * QEMU's mirror job, as libvirt's blockcopy: everything is copied once, and what the guest writes meanwhile goes to both. When they are the same the guest
 * is switched over (`pivot`), and libvirt writes that into the definition too. The job belongs to the daemon: it outlives a worker, whose successor goes on with it.
 */
export function createSwap(context: Context): Swap {
  return {
    async run(call, id, volumeId, to) {
      checkVolume(to);
      const domain = await context.require(id);
      const wanted = target(context, id, to);
      const found = await look(context, domain, volumeId);
      if (found === undefined) throw new DriverError('absent', 'The server has no such volume.', { detail: volumeId });
      if (found.place !== wanted.place) {
        if (!found.live) throw new DriverError('busy', 'The server must be running while its volume moves.');
        try {
          await mirror(context, call, domain, volumeId, to, found, wanted);
        } catch (error) {
          await end(context, domain, found.device).catch((e: unknown) => call.log.warn({ err: e, serverId: id, volumeId }, 'the copy of a volume could not be ended'));
          throw error;
        }
      }
      await define(context, domain, volumeId, wanted);
      // The old place's key: nobody opens it any more.
      if (found.key !== undefined && found.key !== keyOf(to)) await context.secrets.remove('volume', luksSecretUsage(found.key));
    },
    async abandon(_call, id, volumeId, to) {
      const domain = await context.find(id);
      const found = domain && (await look(context, domain, volumeId));
      if (domain === undefined || found === undefined) return { switched: false };
      if (found.mirror !== undefined) await end(context, domain, found.device);
      // It may have switched while it was asked to stop.
      const switched = (await look(context, domain, volumeId))?.place === target(context, id, to).place;
      const key = keyOf(to);
      if (!switched && key !== undefined && key !== found.key) await context.secrets.remove('volume', luksSecretUsage(key));
      return { switched };
    },
  };
}

interface Target {
  readonly xml: string;
  readonly place: string;
}

/** What blockcopy takes: the storage and its format, without the device that it becomes. */
function target(context: Context, id: string, to: VolumeDisk): Target {
  const { '@type': type, driver, source } = diskXml(
    { role: 'volume', device: 'vda', bus: 'virtio', type: 'disk', readOnly: false, source: { kind: 'volume', volume: to } },
    { folder: context.folder(id), serverId: id, cache: context.cache, limits: {} },
  );
  const xml = toXml({ disk: { '@type': type, driver, source } });
  return { xml, place: placeOf(parseXml(xml, 'disk')) };
}

/** A file, a device, or a name on the network: what tells two storages apart. */
function placeOf(disk: Element): string {
  const source = disk.at('source');
  return source.attribute('file') ?? source.attribute('dev') ?? `${source.attribute('protocol') ?? ''}:${source.attribute('name') ?? ''}`;
}

interface Found {
  readonly live: boolean;
  readonly device: string;
  readonly place: string;
  /** Of its encryption. */
  readonly key: string | undefined;
  /** The copy that is under way. */
  readonly mirror: { readonly place: string; readonly ready: boolean } | undefined;
}

async function look(context: Context, domain: DomainHandle, volumeId: string): Promise<Found | undefined> {
  const { live, persistent } = await both(context, domain);
  const disk = deviceWith(live, 'disk', isVolume(volumeId)) ?? deviceWith(persistent, 'disk', isVolume(volumeId));
  const device = disk?.at('target').attribute('dev');
  if (disk === undefined || device === undefined) return undefined;
  const mirror = disk.at('mirror');
  return {
    live: live !== undefined, device, place: placeOf(disk), key: disk.at('source', 'encryption', 'secret').attribute('uuid'),
    mirror: mirror.exists ? { place: placeOf(mirror), ready: mirror.attribute('ready') === 'yes' } : undefined,
  };
}

async function mirror(context: Context, call: Call, domain: DomainHandle, volumeId: string, to: VolumeDisk, found: Found, wanted: Target): Promise<void> {
  const { device } = found;
  // A former try's, to somewhere else: nobody wants it any more.
  if (found.mirror !== undefined && found.mirror.place !== wanted.place) await end(context, domain, device);
  if (found.mirror?.place !== wanted.place) {
    call.signal.throwIfAborted();
    await setSecret(context, to);
    await context.domains.blockCopy(domain, device, wanted.xml, flag.blockCopyReuseExternal | flag.blockCopyTransientJob);
  }
  await context.wait(call, domain.uuid, Number.MAX_SAFE_INTEGER, async () => {
    const now = await look(context, domain, volumeId);
    if (now?.place === wanted.place || now?.mirror?.ready === true) return true;
    if (now?.mirror === undefined) throw new DriverError('broken', 'The volume could not be copied to its new place.', { detail: now?.live === true ? 'the job ended by itself' : 'the server stopped' });
    const job = await jobOf(context, domain, device);
    if (job !== undefined) call.progress(job.done, job.total);
    return false;
  });
  call.signal.throwIfAborted();
  if ((await look(context, domain, volumeId))?.place !== wanted.place) await context.domains.endBlockJob(domain, device, flag.blockJobAbortPivot);
  const now = await look(context, domain, volumeId);
  if (now?.place !== wanted.place) throw new DriverError('broken', 'The server could not be switched to the new place of its volume.', { detail: now?.place ?? volumeId });
}

const gone = (error: unknown): boolean => isLibvirtCode(error, libvirtCode.operationInvalid, libvirtCode.invalidArg, libvirtCode.noDomain);

/** Undefined also when it ended, or the server did, between two looks. */
async function jobOf(context: Context, domain: DomainHandle, device: string): Promise<{ done: number; total: number } | undefined> {
  return context.domains.blockJob(domain, device).catch((error: unknown) => {
    if (gone(error)) return undefined;
    throw error;
  });
}

/** Cancels the job and waits for its end; none is success. */
async function end(context: Context, domain: DomainHandle, device: string): Promise<void> {
  if ((await jobOf(context, domain, device)) === undefined) return;
  await context.domains.endBlockJob(domain, device, 0).catch((error: unknown) => {
    if (!gone(error)) throw error;
  });
}

/** What the next start uses. libvirt has written it with the switch, unless the definition was not the running machine's. */
async function define(context: Context, domain: DomainHandle, volumeId: string, wanted: Target): Promise<void> {
  const { persistent } = await both(context, domain);
  const defined = deviceWith(persistent, 'disk', isVolume(volumeId));
  if (defined === undefined || placeOf(defined) === wanted.place) return;
  const old = defined.toXml('disk');
  const fresh = defined.with(parseXml(wanted.xml, 'disk'), ['@type', 'driver', 'source']).toXml('disk');
  await context.domains.detachDevice(domain, old, flag.affectConfig);
  await context.domains.attachDevice(domain, fresh, flag.affectConfig);
}
