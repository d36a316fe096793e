import type { Call } from '../../call.ts';
import { DriverError } from '../../errors.ts';
import { firewallBase } from './firewall.ts';
import type { Host } from './host.ts';
import type { Names } from './names.ts';
import type { LinuxBridgeSettings } from './settings.ts';
import { trackingBase } from './tracking.ts';

const PROGRAMS = [['ip', '-V'], ['nft', '--version'], ['sysctl', '--version'], ['dnsmasq', '--version'], ['haproxy', '-v']] as const;

/** Tries everything once inside a namespace of its own, where nothing of the host is touched. */
export async function checkHost(host: Host, call: Call, n: Names, settings: LinuxBridgeSettings): Promise<void> {
  for (const [program, argument] of PROGRAMS) await host.run(call, program, [argument]);
  const space = `${n.prefix}-check`;
  await attempt('The network needs root (CAP_NET_ADMIN and CAP_SYS_ADMIN): namespaces cannot be made.', async () => {
    await host.removeSpace(call, space);
    await host.ensureSpace(call, space);
  });
  try {
    await attempt('The kernel has no bridges or no veth devices.', () => host.ip(call, ['link add br0 type bridge', 'link add v0 type veth peer name v1', 'link set v0 master br0 up'], space));
    if (!await hasBridgeFilter(host, call, space)) {
      await attempt('The kernel has no br_netfilter, without which security groups cannot track connections on bridges.', async () => {
        await host.run(call, 'modprobe', ['br_netfilter']);
        // Loading it turns it on for all bridges of the host; ours ask for it one by one.
        await host.sysctl(call, ['net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0', 'net.bridge.bridge-nf-call-arptables=0']);
      });
    }
    await attempt('The kernel lacks nftables for bridges, connection tracking or NAT.', () =>
      host.nft(call, `${[...firewallBase(n), ...trackingBase(n, { ...settings, forward: 'out' }, [])].join('\n')}\n`, space));
  } finally {
    await host.removeSpace(call, space);
  }
}

async function hasBridgeFilter(host: Host, call: Call, space: string): Promise<boolean> {
  try {
    await host.run(call, 'ip', ['netns', 'exec', space, 'sysctl', '-n', 'net.bridge.bridge-nf-call-iptables']);
    return true;
  } catch (error) {
    if (error instanceof DriverError && error.kind === 'broken') return false;
    throw error;
  }
}

async function attempt(reason: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof DriverError) || (error.kind !== 'broken' && error.kind !== 'unsupported')) throw error;
    throw new DriverError('unsupported', reason, { detail: error.detail ?? error.message, cause: error });
  }
}
