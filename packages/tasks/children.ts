import { transaction } from '@cumulet/db';
import { newId } from '@cumulet/wire';
import { ChildFailed, ChildLate, Parked } from './errors.ts';
import type { RunnerOptions } from './options.ts';
import type { ChildOptions, Startable } from './plan.ts';
import type { TaskRow } from './tasks.ts';

/** The child of a step: made once however often the step runs, waited for without holding a worker. */
export async function childOf<CI, CO>(o: RunnerOptions, parent: TaskRow, step: string, plan: Startable<CI, CO>, input: CI, options: ChildOptions): Promise<CO> {
  const existing: TaskRow | undefined = await o.db('tasks').where({ parent_id: parent.id, parent_step: step, lane: options.lane }).orderBy('seq', 'desc').first();
  if (existing && !existing.live) {
    if (existing.state === 'done') return existing.out as CO;
    throw new ChildFailed(existing.id, existing.error?.message ?? `The operation ${existing.plan} was ${existing.state}.`, existing.error?.kind);
  }
  if (options.until !== undefined && options.until.getTime() <= Date.now()) throw new ChildLate();
  if (!existing) {
    const checked = plan.parts.input.parse(input);
    await transaction(o.db, trx => trx('tasks').insert({
      id: newId(), plan: plan.kind, revision: plan.parts.revision, queue: options.queue ?? 'any', lane: options.lane, input: JSON.stringify(checked), parent_id: parent.id, parent_step: step,
      project_id: parent.project_id, user_id: parent.user_id, request_id: parent.request_id, resource_type: options.resource.type, resource_id: options.resource.id,
    }).onConflict(trx.raw('(parent_id, parent_step, lane) where parent_id is not null') as never).ignore());
  }
  throw new Parked(true, options.until);
}
