import { keyset, type Trx } from '@cumulet/db';
import type { TaskRow } from '@cumulet/tasks';

export interface ListFilter {
  /** Undefined: every project's, and the system's own. */
  readonly projectId: string | undefined;
  readonly states?: readonly string[] | undefined;
  readonly kind?: string | undefined;
  readonly resourceType?: string | undefined;
  readonly resourceId?: string | undefined;
  readonly requestId?: string | undefined;
  readonly parentId?: string | undefined;
}

export const findTask = (trx: Trx, id: string): Promise<TaskRow | undefined> => trx('tasks').where({ id }).first();
export const tasksById = (trx: Trx, ids: readonly string[]): Promise<TaskRow[]> => trx('tasks').whereIn('id', [...ids]);

/** Newest first. */
export function listTasks(trx: Trx, f: ListFilter, limit: number, after: TaskRow | undefined): Promise<TaskRow[]> {
  const query = trx<TaskRow>('tasks');
  const equal = { project_id: f.projectId, plan: f.kind, resource_type: f.resourceType, resource_id: f.resourceId, request_id: f.requestId, parent_id: f.parentId };
  for (const [column, value] of Object.entries(equal)) if (value !== undefined) query.where(column, value);
  if (f.states) query.whereIn('state', [...f.states] as never);
  return keyset(query, [{ column: 'created_at', dir: 'desc', after: after?.created_at }, { column: 'id', dir: 'desc', after: after?.id }], limit) as unknown as Promise<TaskRow[]>;
}
