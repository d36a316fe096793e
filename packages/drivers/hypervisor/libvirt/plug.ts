import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { deviceFor } from '../disk-plan.ts';
import type { DiskBus, Nics, Volumes } from '../contract.ts';
import { checkNic, checkVolume } from '../validate.ts';
import type { Context } from './context.ts';
import { aliasOf, readDevices } from './devices.ts';
import { diskXml } from './disk-xml.ts';
import { nicAlias, nicXml } from './domain-xml.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import { both, deviceWith, isVolume, type DeviceKind } from './plugged.ts';
import { flag, type DomainHandle } from './protocol.ts';
import { removeKey, removeSecret, setSecret } from './secret-setup.ts';
import { createSwap } from './swap.ts';
import { toXml, type Element } from './xml.ts';

/** Plugs it in where it is missing: in the machine, in its definition or in both. */
async function plug(context: Context, domain: DomainHandle, xml: string, missing: { live: boolean; persistent: boolean }): Promise<void> {
  const flags = (missing.live ? flag.affectLive : 0) | (missing.persistent ? flag.affectConfig : 0);
  if (flags !== 0) await context.domains.attachDevice(domain, xml, flags);
}

/**
 * Takes a device out. A guest lets go when it likes, so the request is repeated until the device is really gone; only then is the
 * definition changed. A guest that never lets go keeps its device, and the caller is told `busy`.
 */
async function unplug(context: Context, call: Call, domain: DomainHandle, kind: DeviceKind, is: (device: Element) => boolean): Promise<void> {
  const attempts = context.options.detachAttempts ?? 8;
  const timeoutMs = context.options.detachTimeoutMs ?? 20_000;
  for (let attempt = 1; ; attempt++) {
    const present = deviceWith((await both(context, domain)).live, kind, is);
    if (present === undefined) break;
    if (attempt > attempts) throw new DriverError('busy', `The server did not release the ${kind === 'disk' ? 'volume' : 'network interface'}.`);
    await requestUnplug(context, domain, present.toXml(kind));
    await context.wait(call, domain.uuid, timeoutMs, async () => deviceWith((await both(context, domain)).live, kind, is) === undefined);
  }
  const defined = deviceWith((await both(context, domain)).persistent, kind, is);
  if (defined !== undefined) await context.domains.detachDevice(domain, defined.toXml(kind), flag.affectConfig);
}

async function requestUnplug(context: Context, domain: DomainHandle, xml: string): Promise<void> {
  try {
    await context.domains.detachDevice(domain, xml, flag.affectLive);
  } catch (error) {
    if (isLibvirtCode(error, libvirtCode.deviceMissing, libvirtCode.operationInvalid)) return; // gone, or the server went off
    // QEMU's answer to a second request while the guest still thinks about the first
    if (isLibvirtCode(error, libvirtCode.operationFailed) && /already in the process of unplug/i.test((error as DriverError).detail ?? '')) return;
    throw error;
  }
}

export function createVolumes(context: Context): Volumes {
  return {
    async attach(call, id, disk) {
      checkVolume(disk);
      const domain = await context.require(id);
      const { live, persistent } = await both(context, domain);
      const present = deviceWith(live, 'disk', isVolume(disk.volumeId));
      const defined = deviceWith(persistent, 'disk', isVolume(disk.volumeId));
      const known = (present ?? defined)?.at('target').attribute('dev');
      const missing = { live: live !== undefined && present === undefined, persistent: defined === undefined };
      if (known !== undefined && !missing.live && !missing.persistent) return { device: known };
      const all = [live, persistent].flatMap((d) => (d === undefined ? [] : readDevices(d).disks));
      // without a wish it goes where the root is: the guest has a driver for that bus
      const bus: DiskBus = disk.bus ?? all.find((d) => d.role === 'root')?.bus ?? 'virtio';
      const type = disk.type ?? 'disk';
      const device = known ?? deviceFor(disk, bus, new Set(all.map((d) => d.device)));
      call.signal.throwIfAborted();
      await setSecret(context, disk);
      const xml = toXml({ disk: diskXml(
        { role: 'volume', device, bus, type, readOnly: disk.readOnly ?? type === 'cdrom', source: { kind: 'volume', volume: disk } },
        { folder: context.folder(id), serverId: id, cache: context.cache, limits: {} },
      ) });
      try {
        await plug(context, domain, xml, missing);
      } catch (error) {
        if (known === undefined) await removeSecret(context, disk.volumeId);
        throw error;
      }
      return { device };
    },
    async detach(call, id, volumeId) {
      const domain = await context.find(id);
      const { live, persistent } = domain === undefined ? { live: undefined, persistent: undefined } : await both(context, domain);
      const disk = deviceWith(live, 'disk', isVolume(volumeId)) ?? deviceWith(persistent, 'disk', isVolume(volumeId));
      if (domain !== undefined) await unplug(context, call, domain, 'disk', isVolume(volumeId));
      await removeKey(context, disk);
      await removeSecret(context, volumeId);
    },
    async extend(_call, id, volumeId, sizeBytes) {
      const domain = await context.require(id);
      const present = deviceWith((await both(context, domain)).live, 'disk', isVolume(volumeId));
      const device = present?.at('target').attribute('dev');
      if (device !== undefined) await context.domains.blockResize(domain, device, sizeBytes);
    },
    swap: createSwap(context),
  };
}

export function createNics(context: Context): Nics {
  const isNic = (mac: string) => (nic: Element): boolean => nic.at('mac').attribute('address')?.toLowerCase() === mac.toLowerCase();
  return {
    async attach(call, id, nic) {
      checkNic(nic);
      const domain = await context.require(id);
      const { live, persistent } = await both(context, domain);
      const model = persistent.at('devices', 'interface', 'model').attribute('type') ?? 'virtio';
      call.signal.throwIfAborted();
      const xml = toXml({ interface: nicXml(nic, model, { vcpus: 1 }, context.options.virtType) });
      await plug(context, domain, xml, {
        live: live !== undefined && deviceWith(live, 'interface', isNic(nic.mac)) === undefined,
        persistent: deviceWith(persistent, 'interface', isNic(nic.mac)) === undefined,
      });
    },
    async detach(call, id, mac) {
      const domain = await context.find(id);
      if (domain !== undefined) await unplug(context, call, domain, 'interface', (nic) => isNic(mac)(nic) || aliasOf(nic) === nicAlias(mac));
    },
  };
}
