// Debian packages by purpose. `without` says what is lost when they cannot be had: a purpose without it is a must.
// `unless` names the settings that make a purpose needless.

/** @typedef {{ purpose: string, names: string[], without?: string, unless?: (env: NodeJS.ProcessEnv) => boolean }} Group */

/** @type {Group[]} What `npm start` uses. */
export const run = [
  { purpose: 'the task queue', names: ['redis-server'], unless: (env) => Boolean(env.REDIS_URL) },
  {
    purpose: 'disk images', names: ['qemu-utils', 'genisoimage', 'util-linux'],
    without: 'images are not converted and config drives not made',
  },
  {
    purpose: 'servers', names: ['qemu-system-x86', 'libvirt-daemon', 'libvirt-daemon-driver-qemu', 'ovmf', 'qemu-block-extra', 'e2fsprogs', 'dosfstools'],
    without: 'servers are only simulated', unless: (env) => env.CUMULET_HYPERVISOR_DRIVER === 'fake',
  },
  {
    purpose: 'networks', names: ['iproute2', 'nftables', 'dnsmasq-base', 'haproxy', 'iputils-arping', 'procps', 'kmod'],
    without: 'networks are only simulated', unless: (env) => env.CUMULET_NETWORK_DRIVER === 'fake',
  },
  {
    purpose: 'the demo image', names: ['e2fsprogs', 'kmod', 'syslinux', 'syslinux-common', 'mtools', 'dosfstools'],
    without: 'there is no demo image', unless: noGuestImage,
  },
];

/** @type {Group[]} What `npm test` uses beside that. */
export const test = [
  {
    purpose: 'the OpenStack clients', names: ['python3-openstackclient', 'python3-novaclient', 'python3-cinderclient', 'python3-glanceclient', 'openssh-client'],
  },
  { purpose: 'looking at what was made', names: ['cpio', 'fdisk', 'xfsprogs'] },
  { purpose: 'guests that are namespaces', names: ['busybox-static', 'curl', 'iputils-ping'] },
];

/** @type {Group[]} What `npm run test:storage` uses beside that: the targets themselves. Each of its suites says so when one is missing. */
export const storage = [
  { purpose: 'Ceph', names: ['ceph-common', 'ceph-mon', 'ceph-mgr', 'ceph-osd'], without: 'nothing is tested on Ceph' },
  { purpose: 'Swift', names: ['swift-proxy', 'swift-account', 'swift-container', 'swift-object', 'memcached'], without: 'nothing is tested on Swift' },
  { purpose: 'NFS', names: ['nfs-ganesha', 'nfs-ganesha-vfs', 'nfs-common', 'user-mode-linux'], without: 'nothing is tested on NFS' },
  { purpose: "Cinder's own backup drivers", names: ['python3-cinder', 'python3-zstd'], without: 'no backup is exchanged with Cinder' },
];

/** Packages that the demo image is made of. They are unpacked, not installed. The kernel's name changes with each update, so it is asked of its meta package. */
export const guest = { kernel: 'linux-image-cloud-amd64', names: ['busybox', 'busybox-static', 'dropbear-bin', 'libtomcrypt1', 'libtommath1', 'qemu-guest-agent'] };

/** @param {NodeJS.ProcessEnv} env */
export function noGuestImage(env) {
  return Boolean(env.CUMULET_DEMO_IMAGE) || ['false', '0', 'no'].includes(env.CUMULET_DEMO_ENABLED ?? '') || process.arch !== 'x64';
}
