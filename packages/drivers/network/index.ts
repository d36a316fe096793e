export type {
  Bandwidth, DhcpPort, FixedIp, GroupMembers, HostNetworking, MetadataTarget, NetworkDriver, NetworkPlace, NetworkSpec, PortPlace,
  PortForwarding, PortQos, PortRange, PortSecurity, Route, RouterGateway, RouterInterface, RouterSpec, SecurityRule, SubnetSpec,
} from './contract.ts';
export { fakeNetwork, type FakeNetwork, type NetworkVerb } from './fake/index.ts';
export { linuxBridge, linuxBridgeDefaults, type LinuxBridgeSettings } from './linuxbridge/index.ts';
export { spellable } from './specs.ts';
