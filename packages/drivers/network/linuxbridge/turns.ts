/** One at a time for each key, in the order of asking. A waiter whose signal is aborted leaves the line. */
export class Turns {
  readonly #last = new Map<string, Promise<void>>();

  async take<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const done = Promise.withResolvers<void>();
    const mine = before.then(() => done.promise);
    this.#last.set(key, mine);
    try {
      await before;
      signal.throwIfAborted();
      return await work();
    } finally {
      done.resolve();
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
