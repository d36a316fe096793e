export * from './contract.ts';
export { planDisks, nextDevice, type PlannedDisk } from './disk-plan.ts';
export { hardware, type Hardware } from './hardware.ts';
export { checkSpec } from './validate.ts';
export * from './libvirt/index.ts';
export { fakeHypervisor, type FakeHypervisor, type FakeHypervisorOptions, type HypervisorVerb } from './fake/index.ts';
