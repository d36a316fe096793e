import type { HypervisorDriver } from '../contract.ts';

/** What a test may let fail, hang or dawdle. */
export type HypervisorVerb =
  | 'check' | 'host' | 'list' | `servers.${keyof HypervisorDriver['servers']}`
  | 'volumes.attach' | 'volumes.detach' | 'volumes.extend' | 'volumes.swap.run' | 'volumes.swap.abandon' | 'nics.attach' | 'nics.detach'
  | 'console.log' | 'console.vnc' | 'snapshot.rootDisk' | 'rescue.start' | 'rescue.stop'
  | 'resize.apply' | 'resize.confirm' | 'resize.revert' | 'resize.keep' | 'resize.grow' | 'crashDump' | 'travel.send' | 'travel.receive'
  | 'migrate.prepare' | 'migrate.live' | 'migrate.force' | 'migrate.abandon' | 'agent.available' | 'agent.setPassword' | 'agent.freeze' | 'agent.thaw' | 'diagnostics';
