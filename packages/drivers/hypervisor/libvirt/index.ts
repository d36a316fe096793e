export { libvirtHypervisor, type LibvirtOptions } from './driver.ts';
export { findSystemLibvirt, startPrivateLibvirtd, type PrivateLibvirtd, type PrivateLibvirtdOptions } from './daemon.ts';
