export { probeKvm, type KvmProbe, type ProbeGuest } from './probe.ts';
export { libvirtHypervisor, type LibvirtOptions } from './driver.ts';
export { findSystemLibvirt, startPrivateLibvirtd, type PrivateLibvirtd, type PrivateLibvirtdOptions } from './daemon.ts';
