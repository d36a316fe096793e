import { operation, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { backupsOf, type BackupRow } from '@cumulet/volume';
import { micros, NotFound, orNull } from '@cumulet/wire';
import { BackupReply, RebuildBody, RebuildReply, Started, TargetList, VerifyBody } from './schemas.ts';

const id = (ctx: { params: Readonly<Record<string, string>> }) => ctx.params['backup_id'] ?? '';
const by = (ctx: Pick<Context, 'caller' | 'requestId'>) => ({ projectId: ctx.caller.projectId ?? '', userId: ctx.caller.userId, requestId: ctx.requestId });

/** What lies behind a backup, and whether it is whole. */
export function routes(rt: Runtime): Operation[] {
  const backups = backupsOf(rt);
  /** Invisible is not there. */
  const find = async (ctx: Context): Promise<BackupRow> => {
    const row = await backups.find(id(ctx));
    if (row.project_id !== ctx.caller.projectId && !ctx.allows('backupcatalogue:all_projects')) throw new NotFound(`Backup ${id(ctx)} could not be found.`);
    ctx.permit({ project_id: row.project_id, user_id: row.user_id });
    return row;
  };
  const view = async (row: BackupRow) => {
    const chain = await backups.chain(row);
    return {
      id: row.id, project_id: row.project_id, volume_id: row.volume_id, status: row.status, size: row.size, target: row.target, service: row.service, container: row.container, prefix: row.service_metadata, schedule_id: row.schedule_id,
      chain: chain.map(m => ({ id: m.id, status: m.status, is_incremental: m.parent_id !== null, data_timestamp: micros(m.data_timestamp), object_count: m.object_count })), complete: chain[0]?.parent_id === null,
      verified_at: orNull(micros)(row.verified_at), problem: row.verify_problem, last_problem: row.last_problem, last_problem_at: orNull(micros)(row.last_problem_at),
    };
  };
  return [
    operation({
      id: 'targets.list', summary: 'Where backups can go, and from which hosts', method: 'GET', path: '/targets', policy: 'backupcatalogue:targets', reply: TargetList,
      handler: async () => ({ targets: (await backups.hosts()).flatMap(h => h.targets.map(t => ({ name: t.name, service: t.service, host: h.host, availability_zone: h.zone, shared: t.shared }))) }),
    }),
    operation({ id: 'backups.show', summary: 'A backup, its chain and its last verification', method: 'GET', path: '/backups/:backup_id', policy: 'backupcatalogue:show', permit: 'object', reply: BackupReply, handler: async ctx => ({ backup: await view(await find(ctx as never)) }) }),
    operation({
      id: 'backups.verify', summary: 'Find out whether a backup would restore, without restoring it', method: 'POST', path: '/backups/:backup_id/verify', policy: 'backupcatalogue:verify', permit: 'object', body: VerifyBody, reply: Started, status: 202,
      handler: async ctx => ({ operation: { id: await backups.verify(await find(ctx as never), ctx.body.verify?.depth ?? 'data', by(ctx)) } }),
    }),
    operation({
      id: 'rebuild.start', summary: 'Make the catalogue anew from what lies on a target', method: 'POST', path: '/rebuild', policy: 'backupcatalogue:rebuild', body: RebuildBody, reply: Started, status: 202,
      handler: async ctx => {
        const r = ctx.body.rebuild;
        return { operation: { id: await backups.rebuild({ target: r?.target, container: r?.container, dryRun: r?.dry_run ?? false, all: r?.adopt ?? false, owner: by(ctx) }) } };
      },
    }),
    operation({
      id: 'rebuild.show', summary: 'What a rebuild has found', method: 'GET', path: '/rebuild/:operation_id', policy: 'backupcatalogue:rebuild', reply: RebuildReply,
      handler: async ctx => {
        const operationId = ctx.params['operation_id'] ?? '';
        const { state, result, error } = await backups.rebuilt(operationId);
        return { rebuild: { id: operationId, state, error: error ?? null, target: result?.target ?? null, found: result?.found ?? null, created: [...result?.created ?? []], known: result?.known ?? null, broken: [...result?.broken ?? []] } };
      },
    }),
  ];
}
