import { operation, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { lastOf, shape } from '@cumulet/wire';
import { anyQuery } from '../listing.ts';
import { limits, usage } from '../quotas/limits.ts';

const LimitsQuery = shape('LimitsQuery', anyQuery);

/** `/limits`: what a project may have and has. Administrators may ask for another project (3.39). */
export const routes = (rt: Runtime): Operation[] => [
  operation({
    id: 'limits.show', summary: 'Show limits', method: 'GET', path: '/limits', policy: { anyone: 'upstream has no rule of its own for it; what is used is guarded by limits_extension:used_limits' }, query: LimitsQuery,
    handler: async ctx => {
      const other = ctx.dialect.has('limits of a project') && ctx.allows('context_is_admin') ? lastOf(ctx.query['project_id']) ?? lastOf(ctx.query['tenant_id']) : undefined;
      const project = typeof other === 'string' && other !== '' ? other : ctx.caller.projectId ?? '';
      const [max, used] = await Promise.all([limits(rt.db, project), usage(rt.db, project)]);
      return {
        limits: {
          rate: [],
          absolute: {
            maxTotalVolumes: max['volumes'], maxTotalSnapshots: max['snapshots'], maxTotalVolumeGigabytes: max['gigabytes'], maxTotalBackups: max['backups'], maxTotalBackupGigabytes: max['backup_gigabytes'],
            ...(ctx.allows('limits_extension:used_limits') ? {
              totalVolumesUsed: used['volumes'] ?? 0, totalGigabytesUsed: used['gigabytes'] ?? 0, totalSnapshotsUsed: used['snapshots'] ?? 0, totalBackupsUsed: used['backups'] ?? 0, totalBackupGigabytesUsed: used['backup_gigabytes'] ?? 0,
            } : {}),
          },
        },
      };
    },
  }),
];
