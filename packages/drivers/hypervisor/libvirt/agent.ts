import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import type { Agent } from '../contract.ts';
import type { Context } from './context.ts';
import { isLibvirtCode, libvirtCode } from './errors.ts';
import type { DomainHandle } from './protocol.ts';

const noAgent = (cause?: unknown): DriverError => new DriverError('unsupported', 'The guest agent of the server does not answer.', { cause });

export function createAgent(context: Context): Agent {
  const asked = async (id: string): Promise<DomainHandle> => {
    const domain = await context.require(id);
    if (!(await answers(context, domain))) throw noAgent();
    return domain;
  };
  return {
    async available(_call, id) {
      const domain = await context.find(id);
      return domain !== undefined && (await answers(context, domain));
    },
    async setPassword(_call, id, user, password) {
      const domain = await asked(id);
      try {
        await context.domains.setUserPassword(domain, user, password);
      } catch (error) {
        if (isLibvirtCode(error, libvirtCode.agentUnresponsive, libvirtCode.argumentUnsupported)) throw noAgent(error);
        throw error;
      }
    },
    async freeze(_call, id) {
      return context.domains.freeze(await asked(id));
    },
    async thaw(_call, id) {
      const domain = await context.find(id);
      // a server that is gone or off holds nothing frozen
      if (domain === undefined || (await context.state(domain)) !== 'running') return 0;
      return context.domains.thaw(domain);
    },
  };
}

/** The channel says whether somebody listens; the ping, whether they are awake. */
export async function answers(context: Context, domain: DomainHandle): Promise<boolean> {
  if ((await context.state(domain)) !== 'running') return false;
  const channels = (await context.xml(domain)).at('devices').all('channel');
  const target = channels.map((c) => c.at('target')).find((t) => t.attribute('name') === 'org.qemu.guest_agent.0');
  if (target?.attribute('state') !== 'connected') return false;
  try {
    await context.domains.agentCommand(domain, { execute: 'guest-ping' }, 3);
    return true;
  } catch (error) {
    if (error instanceof DriverError && error.kind !== 'absent') return false;
    throw error;
  }
}

/** False when there is no agent or it refuses; the caller thaws after true. */
export async function freezeIfPossible(context: Context, call: Call, domain: DomainHandle): Promise<boolean> {
  if (!(await answers(context, domain))) return false;
  try {
    await context.domains.freeze(domain);
    return true;
  } catch (error) {
    call.log.warn({ err: error, serverId: domain.uuid }, 'the guest could not freeze its file systems');
    // a half-frozen guest would hang
    await context.domains.thaw(domain).catch((e: unknown) => call.log.debug({ err: e }, 'nothing to thaw'));
    return false;
  }
}
