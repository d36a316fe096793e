import { DriverError, plainCall } from '@cumulet/drivers';
import { fakeNetwork, linuxBridge, type NetworkDriver } from '@cumulet/drivers/network';
import { createRunner } from '@cumulet/exec';
import type { Runtime } from '@cumulet/service';
import { join } from 'node:path';

/** The driver that the settings name; `auto` is linuxbridge where this machine may, else the fake, with a line that says why. */
export async function openNetworkDriver(rt: Runtime): Promise<NetworkDriver> {
  const { driver: wanted, prefix, forward, forwardDeny, hostAccess } = rt.settings.network;
  if (wanted === 'fake') return fakeNetwork({ prefix });
  const real = linuxBridge(createRunner({ log: rt.log }), { prefix, stateDir: join(rt.settings.home, 'network'), runDir: join(rt.settings.home, 'run'), hostAccess, forward, ...(forwardDeny === undefined ? {} : { forwardDeny }) });
  try { await real.check(plainCall()); return real; } catch (error) {
    if (wanted === 'linuxbridge' || !(error instanceof DriverError)) throw error;
    rt.log.warn(`networks are simulated on this host: ${error.message}`);
    return fakeNetwork({ prefix });
  }
}
