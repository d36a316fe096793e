import type { TestCloud } from '../../services/compute/testing/cloud.ts';
import { as, callers } from '../harness/service.ts';

/** An administrator who prepares what a comparison looks at, in the project `project`. */
export function asking(c: TestCloud) {
  return {
    project: callers.admin.projectId as string,
    nova: c.call('admin'),
    cinder: as(c.volumes, 'admin', 'volume'),
    /** The body of an answer that is no refusal. */
    async must(answer: Promise<{ status: number; body: any }>): Promise<any> {   // oxlint-disable-line no-explicit-any
      const { status, body } = await answer;
      if (status >= 400) throw new Error(`${status} ${JSON.stringify(body)}`);
      return body;
    },
    /** What was made, with every task that it began done. */
    async settled<T>(made: Promise<T>): Promise<T> {
      const it = await made;
      await c.t.drain();
      return it;
    },
  };
}
