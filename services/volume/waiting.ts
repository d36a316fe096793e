import type { Runtime } from '@cumulet/service';
import type { TaskRow } from '@cumulet/tasks';
import { BadRequest, Conflict, Fault, NotImplemented, Unavailable } from '@cumulet/wire';

/**
 * Waits for a short task whose result is the reply (connection_info): the task runs where the backend is, the request only looks at its row.
 * A failure becomes the answer; one that takes too long goes on without us and the client may ask again.
 */
export async function resultOf(rt: Pick<Runtime, 'db' | 'settings'>, taskId: string, timeoutMs = rt.settings.http.requestTimeoutMs): Promise<Record<string, unknown>> {
  const until = performance.now() + timeoutMs;
  for (let pause = 10; ; pause = Math.min(pause * 1.5, 250)) {
    const row = await rt.db('tasks').where({ id: taskId }).first('state', 'live', 'out', 'error') as Pick<TaskRow, 'state' | 'live' | 'out' | 'error'> | undefined;
    if (!row) throw new Unavailable('The operation was lost. Please try again.');
    if (!row.live) {
      if (row.state === 'done') return row.out;
      throw asFault(row.error?.kind, row.error?.message ?? 'The operation was cancelled.');
    }
    if (performance.now() > until) throw new Unavailable('The backend did not answer in time. The operation goes on; please ask again.', { headers: { 'retry-after': '5' } });
    await new Promise(go => setTimeout(go, pause));
  }
}
function asFault(kind: string | undefined, message: string): Fault {
  if (kind === 'invalid' || kind === 'absent') return new BadRequest(message);
  if (kind === 'busy') return new Conflict(message);
  if (kind === 'unsupported') return new NotImplemented(message);
  return new Fault(500, `Unable to complete the operation on the backend: ${message}`);
}
