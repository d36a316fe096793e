export { makeApp } from './app.ts';
export { networksForCompute, type NetworkFacts, type NetworksForCompute, type PortFacts, type PortForServer, type SubnetFacts, type Who } from './compute/networks.ts';
export { groupsForCompute, type FloatingIpFacts, type GroupFacts, type GroupsForCompute, type RuleFacts } from './compute/groups.ts';
export { quotaDefaults } from './quotas/quota.ts';
export { bootstrapNetworks as bootstrap } from './topology/bootstrap.ts';
export { wiringPlans as plans } from './wiring/tasks.ts';
export { metadataSocket, networkDeps, openWork } from './work.ts';
