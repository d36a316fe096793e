import { z } from 'zod';
import { flag } from './kinds.ts';

export const network = z.strictObject({
  driver: z.enum(['auto', 'linuxbridge', 'fake']).default('auto'),
  /** First letters of every bridge, tap and namespace, so that two clouds on a machine do not collide. */
  prefix: z.string().regex(/^[a-z][a-z0-9]{1,4}$/).default('cum'),
  /** Lets this host reach guests by their fixed addresses. */
  hostAccess: flag.default(true),
  /** What this host forwards between guests and the networks beyond it: nothing, what guests begin (`out`, masqueraded: the internet for guests with a router), or both ways. */
  forward: z.enum(['none', 'out', 'both']).default('none'),
  /** CIDRs that guests never reach by it; default: private, shared and link-local ranges. The host's own networks are always among them. */
  forwardDeny: z.array(z.cidrv4()).optional(),
  privateCidr: z.string().default('10.77.0.0/24'),
  publicCidr: z.string().default('172.31.99.0/24'),
  mtu: z.coerce.number().int().min(576).max(9000).default(1450),
}).prefault({});
