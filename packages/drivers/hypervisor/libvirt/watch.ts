import type { HypervisorEvent } from '../contract.ts';
import type { Context } from './context.ts';
import { lifecycle, shutdownDetail, stoppedDetail } from './protocol.ts';
import type { LibvirtEvent } from './session.ts';

/** libvirt's events about our own servers, in the contract's words and in their order. */
export function watch(context: Context, listener: (event: HypervisorEvent) => void): () => void {
  const owned = new Map<string, boolean>();
  /** Told to end by a signal from the host (it shuts down): the guest did not ask for it. */
  const endedByHost = new Set<string>();
  let order: Promise<void> = Promise.resolve();

  const ours = async (id: string): Promise<boolean> => {
    const known = owned.get(id);
    if (known !== undefined) return known;
    const found = (await context.find(id)) !== undefined;
    owned.set(id, found);
    return found;
  };
  const translate = (event: LibvirtEvent): HypervisorEvent | undefined => {
    if (event.kind === 'gap') return { kind: 'gap' };
    if (event.kind !== 'lifecycle') return undefined;
    const serverId = event.domain.uuid;
    switch (event.event) {
      case lifecycle.undefined:
        owned.delete(serverId);
        return undefined;
      case lifecycle.started:
        endedByHost.delete(serverId);
        return { kind: 'started', serverId, byGuest: false };
      case lifecycle.suspended:
        return { kind: 'paused', serverId, byGuest: false };
      case lifecycle.resumed:
        return { kind: 'unpaused', serverId, byGuest: false };
      case lifecycle.shutdown:
        if (event.detail === shutdownDetail.host) endedByHost.add(serverId);
        return undefined;
      case lifecycle.crashed:
        return { kind: 'crashed', serverId, byGuest: true };
      case lifecycle.stopped:
        return stopped(event.detail, serverId, endedByHost.delete(serverId));
      default:
        return undefined;
    }
  };
  return context.session.listen((event) => {
    const translated = translate(event);
    if (translated === undefined) return;
    order = order.then(async () => {
      try {
        if (translated.kind === 'gap' || (await ours(translated.serverId))) listener(translated);
      } catch (error) {
        context.log.warn({ err: error, event: translated }, 'an event of the hypervisor was not understood');
      }
    });
  });
}

function stopped(detail: number, serverId: string, byHost: boolean): HypervisorEvent | undefined {
  switch (detail) {
    case stoppedDetail.crashed:
    case stoppedDetail.failed:
      return { kind: 'crashed', serverId, byGuest: detail === stoppedDetail.crashed };
    case stoppedDetail.saved:
      return { kind: 'suspended', serverId, byGuest: false };
    case stoppedDetail.migrated:
      return undefined; // it runs on, elsewhere
    default:
      return { kind: 'stopped', serverId, byGuest: detail === stoppedDetail.shutdown && !byHost };
  }
}
