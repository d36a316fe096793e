import { one, queryCount, shape } from '@cumulet/wire';
import { z } from 'zod';

export const states = ['queued', 'running', 'parked', 'undoing', 'done', 'failed', 'cancelled'] as const;

export const ListQuery = shape('OperationListQuery', z.object({
  limit: one(queryCount).optional(),
  marker: one(z.string()).optional(),
  state: z.union([z.string(), z.array(z.string())]).transform(v => [v].flat()).pipe(z.array(z.enum(states))).optional(),
  kind: one(z.string()).optional(),
  resource_type: one(z.string()).optional(),
  resource_id: one(z.string()).optional(),
  request_id: one(z.string()).optional(),
  parent_id: one(z.string()).optional(),
  all_projects: one(z.string()).optional(),
  project_id: one(z.string()).optional(),
}));

const step = z.object({ step: z.string(), phase: z.enum(['run', 'undo']), attempt: z.int(), started_at: z.string(), ended_at: z.string().nullable(), error: z.string().nullable() });
const operation = z.object({
  id: z.string(), kind: z.string(), state: z.enum(states),
  phase: z.string().nullable().describe('The step at work or last at work'),
  resource: z.object({ type: z.string(), id: z.string() }),
  project_id: z.string().nullable(), user_id: z.string().nullable(), request_id: z.string().nullable(), parent_id: z.string().nullable(),
  progress: z.object({ done: z.number(), total: z.number() }).describe('Bytes; a total of 0 is unknown'),
  cancel_requested: z.boolean(), cancellable: z.boolean(), resumable: z.boolean(),
  error: z.object({ step: z.string(), message: z.string() }).nullable(),
  created_at: z.string(), started_at: z.string().nullable(), updated_at: z.string(), ended_at: z.string().nullable(),
  steps: z.array(step).optional().describe('Only when one operation is shown'),
});
export const OperationReply = shape('OperationReply', z.object({ operation }));
export const OperationList = shape('OperationList', z.object({ operations: z.array(operation), operations_links: z.array(z.object({ rel: z.literal('next'), href: z.string() })).optional() }));
