export type {
  DhcpPort, FixedIp, GroupMembers, HostNetworking, MetadataTarget, NetworkDriver, NetworkPlace, NetworkSpec, PortPlace,
  PortSecurity, Route, RouterGateway, RouterInterface, RouterSpec, SecurityRule, SubnetSpec,
} from './contract.ts';
