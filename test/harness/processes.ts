import { createRunner } from '@cumulet/exec';

const silent = { debug() {}, warn() {} };

/** Programs that tests start. They die with the process that started them, even when that one is killed. */
export const runner = createRunner({ log: silent });

/** Tries until `ready` is true; the last error is the reason when it never is. */
export async function eventually(ready: () => Promise<boolean> | boolean, timeoutMs: number, what: string): Promise<void> {
  const end = performance.now() + timeoutMs;
  let reason: unknown;
  while (performance.now() < end) {
    try {
      if (await ready()) return;
    } catch (error) {
      reason = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  throw new Error(`${what} did not come within ${timeoutMs} ms`, { cause: reason });
}
