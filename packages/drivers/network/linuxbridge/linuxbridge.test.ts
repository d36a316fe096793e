import { describe } from 'vitest';
import { networkConformance } from '../conformance.ts';
import { openLab } from './lab.ts';

/** Two clouds' tests on one machine, and two runs of these, must not meet. */
const prefix = `x${(process.pid % 1296).toString(36).padStart(2, '0')}`;

describe('linuxbridge, where bridges do not call iptables', () => {
  networkConformance(() => openLab({ prefix: `${prefix}a`, async prepare(host) {
    await host.run('sysctl', ['-qw', 'net.bridge.bridge-nf-call-iptables=0', 'net.bridge.bridge-nf-call-ip6tables=0', 'net.bridge.bridge-nf-call-arptables=0']);
  } }));
});
