import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, Fault, NotImplemented, Unavailable } from '@cumulet/wire';

/**
 * Waits for a short task whose result is the reply (connection_info): the task runs where the backend is, the request only hears of its end.
 * A failure becomes the answer; one that takes too long goes on without us and the client may ask again.
 */
export async function resultOf(rt: Pick<Runtime, 'ends' | 'settings'>, taskId: string, timeoutMs = rt.settings.http.requestTimeoutMs): Promise<Record<string, unknown>> {
  const ended = await rt.ends.of(taskId, timeoutMs);
  if (ended === 'absent') throw new Unavailable('The operation was lost. Please try again.');
  if (ended === 'late') throw new Unavailable('The backend did not answer in time. The operation goes on; please ask again.', { headers: { 'retry-after': '5' } });
  if (ended.state === 'done') return ended.out;
  throw asFault(ended.error?.kind, ended.error?.message ?? 'The operation was cancelled.');
}
function asFault(kind: string | undefined, message: string): Fault {
  if (kind === 'invalid' || kind === 'absent') return new BadRequest(message);
  if (kind === 'busy') return new Conflict(message);
  if (kind === 'unsupported') return new NotImplemented(message);
  return new Fault(500, `Unable to complete the operation on the backend: ${message}`);
}
