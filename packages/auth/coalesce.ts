/**
 * Makes callers share a reading without being answered by an old one: whoever calls while a reading is under way gets the next,
 * which all who wait share. So a crowd costs two readings, and none sees a state older than its call.
 */
export function sharedNext(read: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  let next: Promise<void> | undefined;
  const start = (): Promise<void> => {
    next = undefined;
    const mine: Promise<void> = read().finally(() => { if (running === mine) running = undefined; });
    running = mine;
    return mine;
  };
  return () => {
    if (!running) return start();
    next ??= running.then(start, start);
    return next;
  };
}
