import { mkdirSync } from 'node:fs';
import type { Settings } from '@cumulet/config';
import { DriverError, plainCall } from '@cumulet/drivers';
import { findSystemLibvirt } from '@cumulet/drivers/hypervisor';
import { linuxBridge } from '@cumulet/drivers/network';
import type { Runner } from '@cumulet/exec';
import type { Home } from './home.ts';
import { Refusal } from './refusal.ts';

/** What this machine lets us use for servers and networks. */
export interface Backends {
  readonly hypervisor: 'libvirt' | 'fake';
  /** Of a libvirtd that runs already. Absent with libvirt: start a private one. */
  readonly libvirtSocket?: string;
  readonly network: 'linuxbridge' | 'fake';
  /** Why something is simulated that the settings leave open; one line. */
  readonly note?: string;
}

/**
 * Real servers need real networks and the other way round, so either both are real or both are simulated, unless the
 * settings say otherwise. Throws Refusal when the settings ask for what the machine does not have.
 */
export async function chooseBackends(settings: Settings, home: Home, runner: Runner): Promise<Backends> {
  const { hypervisor, network } = settings;
  if (hypervisor.driver === 'fake' && network.driver !== 'linuxbridge') return { hypervisor: 'fake', network: 'fake' };
  const noNetwork = network.driver === 'fake' ? undefined : await whyNot(() => hostNetwork(settings, home, runner).check(plainCall()));
  if (network.driver === 'linuxbridge' && noNetwork) throw new Refusal(`network.driver is linuxbridge: ${noNetwork}`);
  if (hypervisor.driver === 'fake') return { hypervisor: 'fake', network: 'linuxbridge' };
  const system = hypervisor.libvirtSocket ?? (await findSystemLibvirt())?.socketPath;
  const noServers = system || process.getuid?.() === 0 ? undefined : 'a libvirtd of its own needs root';
  if (hypervisor.driver === 'libvirt' && noServers) throw new Refusal(`hypervisor.driver is libvirt: ${noServers}`);
  const reason = noServers ?? noNetwork;
  if (reason && hypervisor.driver === 'auto') return { hypervisor: 'fake', network: 'fake', note: simulated(reason) };
  return { hypervisor: 'libvirt', network: network.driver === 'fake' ? 'fake' : 'linuxbridge', ...(system && { libvirtSocket: system }) };
}

export const simulated = (reason: string): string => `servers and networks are only simulated: ${reason}`;

/** The host's networks as the cloud's network service drives them. */
export function hostNetwork(settings: Settings, home: Home, runner: Runner) {
  const folders = { stateDir: home.file('network'), runDir: home.file('run') };
  for (const folder of Object.values(folders)) mkdirSync(folder, { recursive: true });
  return linuxBridge(runner, { prefix: settings.network.prefix, hostAccess: settings.network.hostAccess, ...folders });
}

async function whyNot(attempt: () => Promise<void>): Promise<string | undefined> {
  try {
    await attempt();
    return undefined;
  } catch (error) {
    if (error instanceof DriverError) return error.message;
    throw error;
  }
}
