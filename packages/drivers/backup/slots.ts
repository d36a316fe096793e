/** A fixed number of things that many wait for: what bounds a job's memory. */
export class Slots<T> {
  readonly #free: T[];
  readonly #waiting: ((one: T) => void)[] = [];
  constructor(all: readonly T[]) { this.#free = [...all]; }

  take(): Promise<T> {
    const one = this.#free.pop();
    return one === undefined ? new Promise((yes) => { this.#waiting.push(yes); }) : Promise.resolve(one);
  }
  give(one: T): void {
    const next = this.#waiting.shift();
    if (next) next(one);
    else this.#free.push(one);
  }
}
