import type { Terminal } from './terminal.ts';

/** A process that is up. */
export interface Running {
  readonly pid: number;
  /** Resolves when it is gone, with why; never rejects. */
  readonly gone: Promise<string>;
  /** Ends it within its grace time, whatever it takes. */
  stop(): Promise<void>;
}

export interface Part {
  readonly name: string;
  /** Resolves when it can be used; tells its pid as soon as it has one. Throws when it did not come up, and then nothing of it is left. */
  start(signal: AbortSignal, born: (pid: number) => void): Promise<Running>;
  /** It had died and is up again. */
  revived?(): void;
}

export interface SupervisorOptions {
  readonly terminal: Terminal;
  readonly pid: { write(name: string, pid: number): void; remove(name: string): void };
  /** Milliseconds before the first new start; doubled each time up to `slowestMs`. Default 200. */
  readonly backoffMs?: number;
  readonly slowestMs?: number;
  /** One that has run this long is well again: the next death counts as the first. Default 30 s. */
  readonly wellMs?: number;
}

/** Starts parts, starts those again that die, and ends them all. */
export class Supervisor {
  readonly #options: Required<SupervisorOptions>;
  readonly #stopping = new AbortController();
  readonly #parts = new Map<string, { running: Running | undefined; life: Promise<void> }>();

  constructor(options: SupervisorOptions) {
    this.#options = { backoffMs: 200, slowestMs: 10_000, wellMs: 30_000, ...options };
  }

  /** Resolves when the part is up for the first time; throws when it does not come up. From then on it is kept alive. */
  async start(part: Part): Promise<void> {
    const entry: { running: Running | undefined; life: Promise<void> } = { running: undefined, life: Promise.resolve() };
    this.#parts.set(part.name, entry);
    const first = this.#bringUp(part);
    // Whoever stops us meanwhile waits for the start to be over too.
    entry.life = first.then(() => undefined, () => undefined);
    entry.running = await first;
    entry.life = this.#keepAlive(part, entry, entry.running);
  }

  async #bringUp(part: Part): Promise<Running> {
    const { signal } = this.#stopping;
    try {
      signal.throwIfAborted();
      const running = await part.start(signal, (pid) => this.#options.pid.write(part.name, pid));
      // It may have come up in the moment in which the end began.
      if (signal.aborted) await running.stop();
      signal.throwIfAborted();
      return running;
    } catch (error) {
      this.#options.pid.remove(part.name);
      throw error;
    }
  }

  async #keepAlive(part: Part, entry: { running: Running | undefined }, first: Running): Promise<void> {
    const { terminal, pid, backoffMs, slowestMs, wellMs } = this.#options;
    let running = first;
    let delay = backoffMs;
    let since = performance.now();
    for (;;) {
      const reason = await running.gone;
      pid.remove(part.name);
      entry.running = undefined;
      if (this.#stopping.signal.aborted) return;
      if (performance.now() - since > wellMs) delay = backoffMs;
      terminal.warn(part.name, `ended (${reason}), starting it again`);
      for (;;) {
        if (!(await pause(delay, this.#stopping.signal))) return;
        delay = Math.min(delay * 2, slowestMs);
        try {
          since = performance.now();
          running = await this.#bringUp(part);
          break;
        } catch (error) {
          if (this.#stopping.signal.aborted) return;
          terminal.warn(part.name, `${error instanceof Error ? error.message : String(error)}; trying again`);
        }
      }
      entry.running = running;
      part.revived?.();
      terminal.warn(part.name, `is back (pid ${running.pid})`);
    }
  }

  /** Aborted as soon as the end begins: a start that is under way gives up. */
  get signal(): AbortSignal {
    return this.#stopping.signal;
  }

  /** Nothing is started any more from here on. */
  beginStop(): void {
    this.#stopping.abort();
  }

  /** Ends these parts together, and returns when they are gone. */
  async stop(...names: string[]): Promise<void> {
    this.beginStop();
    await Promise.all(names.map(async (name) => {
      const entry = this.#parts.get(name);
      if (!entry) return;
      await entry.running?.stop();
      await entry.life;
      this.#options.pid.remove(name);
    }));
  }
}

/** False when it was broken off. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const timer = setTimeout(() => done(true), ms);
    const aborted = () => done(false);
    const done = (value: boolean) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      resolve(value);
    };
    signal.addEventListener('abort', aborted, { once: true });
  });
}
