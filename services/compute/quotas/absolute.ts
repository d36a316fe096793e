import { limitsOf, usageOf } from '@cumulet/db';
import { operation, type Operation } from '@cumulet/http';
import { one, shape, type Change } from '@cumulet/wire';
import { z } from 'zod';
import type { Compute } from '../compute.ts';
import { defaults } from './limits.ts';

const Query = shape('LimitsQuery', z.strictObject({ tenant_id: one(z.string()).optional(), reserved: z.unknown().optional() }));
const Absolute = shape('AbsoluteLimits', z.any());
const Shown = shape('Limits', z.any(), { limits: shape('LimitsBody', z.any(), { absolute: Absolute }) });
export const changes: Change[] = [
  // Views hold everything that 2.1 had; what later versions left out is taken away by traits.
  { at: '2.36', trait: 'no network limits', why: 'network limits are the network service\'s' },
  { at: '2.39', trait: 'no image metadata limit', why: 'image metadata limits are the image service\'s' },
  { at: '2.57', trait: 'no personality limits', why: 'files are no longer injected' },
  { at: '2.75', shape: 'LimitsQuery', why: 'unknown query parameters are refused', was: newer => (newer as z.ZodObject).loose() },
];

export const routes = (c: Compute): Operation[] => [
  operation({
    id: 'limits.show', summary: 'Limits and use of a project', method: 'GET', path: '/limits', policy: 'os_compute_api:limits', query: Query, reply: Shown,
    handler: async ctx => {
      const mine = ctx.caller.projectId ?? '';
      const project = ctx.query.tenant_id ?? mine;
      if (ctx.query.tenant_id !== undefined) ctx.require('os_compute_api:limits:other_project', { project_id: project });
      const [limit, used] = await Promise.all([limitsOf(c.rt.db, 'compute', project, defaults), usageOf(c.rt.db, 'compute', project)]);
      const at = (k: string) => limit[k] ?? -1;
      const network = !ctx.dialect.has('no network limits');
      return {
        limits: {
          rate: [],
          absolute: {
            maxTotalInstances: at('instances'), maxTotalCores: at('cores'), maxTotalRAMSize: at('ram'), maxServerMeta: at('metadata_items'), ...(ctx.dialect.has('no image metadata limit') ? {} : { maxImageMeta: at('metadata_items') }),
            ...(ctx.dialect.has('no personality limits') ? {} : { maxPersonality: at('injected_files'), maxPersonalitySize: at('injected_file_content_bytes') }), maxTotalKeypairs: at('key_pairs'), maxServerGroups: at('server_groups'), maxServerGroupMembers: at('server_group_members'),
            ...(network ? { maxTotalFloatingIps: at('floating_ips'), maxSecurityGroups: at('security_groups'), maxSecurityGroupRules: at('security_group_rules') } : {}),
            totalRAMUsed: used['ram'] ?? 0, totalCoresUsed: used['cores'] ?? 0, totalInstancesUsed: used['instances'] ?? 0, ...(network ? { totalFloatingIpsUsed: 0, totalSecurityGroupsUsed: 0 } : {}), totalServerGroupsUsed: used['server_groups'] ?? 0,
          },
        },
      };
    },
  }),
];
