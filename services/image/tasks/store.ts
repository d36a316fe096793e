import type { Trx } from '@cumulet/db';
import type { TaskRow } from '@cumulet/tasks';
import { isUuid } from '@cumulet/wire';

/** Image tasks are tasks of the engine, seen as glance shows them: the imports that users asked for, for as long as the site keeps them. */
const plans: Readonly<Record<string, 'import' | 'api_image_import'>> = { 'image.task_import': 'import', 'image.import': 'api_image_import' };
export const typeOf = (row: Pick<TaskRow, 'plan'>) => plans[row.plan] as 'import' | 'api_image_import';
export type TaskStatus = 'pending' | 'processing' | 'success' | 'failure';
const states: Readonly<Record<TaskStatus, readonly TaskRow['state'][]>> = { pending: ['queued'], processing: ['running', 'parked', 'undoing'], success: ['done'], failure: ['failed', 'cancelled'] };
export const statusOf = (row: Pick<TaskRow, 'state'>): TaskStatus => (Object.keys(states) as TaskStatus[]).find(s => states[s].includes(row.state)) as TaskStatus;

const shown = (trx: Trx, hours: number) => trx('tasks').whereIn('plan', Object.keys(plans)).whereNull('parent_id').where(q => q.where('live', true).orWhereRaw('ended_at > now() - make_interval(hours => ?)', [hours]));

export const taskById = async (trx: Trx, hours: number, id: string): Promise<TaskRow | undefined> => (isUuid(id) ? shown(trx, hours).where({ id }).first() : undefined);
/** Of one image, newest first. */
export const tasksOfImage = (trx: Trx, hours: number, imageId: string): Promise<TaskRow[]> => shown(trx, hours).whereRaw(`coalesce(input ->> 'imageId', '') = ?`, [imageId]).where({ resource_type: 'image', resource_id: imageId }).orderBy('seq', 'desc');

export interface TaskFilter { readonly status?: TaskStatus; readonly type?: 'import' | 'api_image_import'; readonly owner?: string }
export const taskSortKeys = ['created_at', 'updated_at', 'id', 'type', 'status', 'owner', 'expires_at'] as const;
const columns: Readonly<Record<string, string>> = { created_at: 'created_at', updated_at: 'updated_at', id: 'id', type: 'plan', status: 'state', owner: 'project_id', expires_at: 'ended_at' };

/** One page; undefined when the marker is not there. The marker's own row gives the place to go on, so that its times keep their full precision. */
export async function listTasks(trx: Trx, hours: number, o: { readonly filter: TaskFilter; readonly key: string; readonly dir: 'asc' | 'desc'; readonly limit: number; readonly marker?: string }): Promise<TaskRow[] | undefined> {
  const query = shown(trx, hours).limit(o.limit);
  const { status, type, owner } = o.filter;
  if (status) query.whereIn('state', [...states[status]]);
  if (type) query.where('plan', Object.keys(plans).find(p => plans[p] === type) as string);
  if (owner !== undefined) query.where('project_id', owner);
  const column = columns[o.key] as string;
  if (o.marker !== undefined) {
    if (!await taskById(trx, hours, o.marker)) return undefined;
    query.whereRaw(`(coalesce(??::text, ''), id) ${o.dir === 'asc' ? '>' : '<'} (select coalesce(??::text, ''), id from tasks where id = ?)`, [column, column, o.marker]);
  }
  return query.orderByRaw(`coalesce(??::text, '') ${o.dir}, id ${o.dir}`, [column]);
}
