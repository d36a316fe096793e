import type { Context } from './context.ts';
import { aliasOf } from './devices.ts';
import { diskAlias } from './disk-xml.ts';
import type { DomainHandle } from './protocol.ts';
import type { Element } from './xml.ts';

export type DeviceKind = 'disk' | 'interface';

/** The running machine's XML (undefined when it is off) and what its next start will use. */
export async function both(context: Context, domain: DomainHandle): Promise<{ live: Element | undefined; persistent: Element }> {
  const persistent = await context.xml(domain, 'persistent');
  const active = ['running', 'paused'].includes(await context.state(domain));
  return { live: active ? await context.xml(domain) : undefined, persistent };
}

export function deviceWith(domain: Element | undefined, kind: DeviceKind, is: (device: Element) => boolean): Element | undefined {
  return domain?.at('devices').all(kind).find(is);
}

export const isVolume = (volumeId: string) => (disk: Element): boolean => diskAlias.read(aliasOf(disk))?.volumeId === volumeId;
