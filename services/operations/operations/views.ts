import type { TaskRow, Tasks } from '@cumulet/tasks';
import { micros, orNull } from '@cumulet/wire';

/** A task as its project sees it. Hosts are left out: where it ran is the operator's matter. */
export function operationView(tasks: Tasks, row: TaskRow, withSteps = false) {
  const can = tasks.abilities(row.plan);
  return {
    id: row.id, kind: row.plan, state: row.state, phase: row.step, resource: { type: row.resource_type, id: row.resource_id },
    project_id: row.project_id, user_id: row.user_id, request_id: row.request_id, parent_id: row.parent_id,
    progress: { done: row.progress_done, total: row.progress_total },
    cancel_requested: row.cancel_requested, cancellable: row.live && can.cancellable && !row.cancel_requested && row.state !== 'undoing', resumable: row.state === 'failed' && can.resumable,
    error: row.error ? { step: row.error.step, message: row.error.message } : null,
    created_at: micros(row.created_at), started_at: orNull(micros)(row.started_at), updated_at: micros(row.updated_at), ended_at: orNull(micros)(row.ended_at),
    ...(withSteps ? { steps: row.steps.map(s => ({ step: s.step, phase: s.phase, attempt: s.attempt, started_at: s.started_at, ended_at: s.ended_at, error: s.error })) } : {}),
  };
}
