import type { Bandwidth } from '../contract.ts';

/*
 * Limits and marks are rules of the port's own filter, not queues of its tap: like the filter they stand before the hypervisor has made the tap, are
 * there again when a restarted guest gets a new one, change in one step with it and go with it. They also hold beside the queues that libvirt hangs on a
 * tap for a flavor's own limits (quota:vif_…), which a tap has only one of. What is beyond a limit is dropped; TCP finds its pace.
 */

/** An offloading card hands over packets of up to 64 KiB, which must fit into the bucket, or they never pass. */
const LARGEST = 65_600;
/** No bridge carries more: such a limit limits nothing, and the kernel's arithmetic would overflow. */
const NO_LIMIT = 10_000_000_000;

/**
 * nftables' bucket holds one second of the rate and the burst. A smaller one cannot be asked for: neutron's default burst, 80 % of a second
 * (DEFAULT_BURST_RATE), and every smaller one are a second here.
 */
export function limitRules(limit: Bandwidth | undefined): string[] {
  if (!limit) return [];
  const [rate, bucket] = [limit.kbps * 125, limit.burstKb * 125];
  if (rate > NO_LIMIT) return [];
  const burst = Math.min(Math.max(bucket, LARGEST) - rate, 0xffff_ffff);
  return [`limit rate over ${rate} bytes/second burst ${Math.max(burst, 0)} bytes drop`];
}

export function markRules(dscp: number | undefined): string[] {
  return dscp === undefined ? [] : [`ip dscp set ${dscp}`, `ip6 dscp set ${dscp}`];
}
