import { setTimeout as sleep } from 'node:timers/promises';
import type { Call } from './call.ts';
import { DriverError, type DriverErrorKind } from './errors.ts';

/** How a fake driver is told to misbehave. Verbs are named as in the contract: `volumes.create`, `snapshots.delete`, `put` … */
export interface Faults<Verb extends string = string> {
  /** The `nth` call of the verb from now on (1 = the next) fails; `after`: it does its work first, as when the answer is lost. */
  failAt(verb: Verb, nth?: number, error?: DriverErrorKind | Error, when?: 'before' | 'after'): void;
  /** The `nth` call from now on never returns until it is aborted (or `release()`). */
  hangAt(verb: Verb, nth?: number): void;
  /** Let all that hang go on. */
  release(): void;
  /** Every call takes this long. */
  delayMs: number;
  /** How often each verb was called. */
  readonly calls: Readonly<Record<string, number>>;
  /** Forget what was scripted and counted. */
  clear(): void;
}

interface Scripted {
  readonly verb: string;
  at: number;
  readonly error: Error | undefined;
  readonly when: 'before' | 'after';
}

/** `through(verb, call, work)` runs a verb's work with whatever was scripted for it. */
export function scriptedFaults<Verb extends string>(): Faults<Verb> & { through<T>(verb: Verb, call: Call, work: () => T | Promise<T>): Promise<T> } {
  const calls: Record<string, number> = {};
  let script: Scripted[] = [];
  let gate = Promise.withResolvers<void>();

  const hang = (signal: AbortSignal) => Promise.race([
    gate.promise,
    new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
  ]);

  return {
    calls,
    delayMs: 0,
    failAt(verb, nth = 1, error = 'broken', when = 'before') {
      const failure = error instanceof Error ? error : new DriverError(error, `The fake was told to fail ${verb}.`);
      script.push({ verb, at: (calls[verb] ?? 0) + nth, error: failure, when });
    },
    hangAt(verb, nth = 1) {
      script.push({ verb, at: (calls[verb] ?? 0) + nth, error: undefined, when: 'before' });
    },
    release() {
      gate.resolve();
      gate = Promise.withResolvers();
    },
    clear() {
      script = [];
      for (const verb of Object.keys(calls)) delete calls[verb];
    },
    async through(verb, call, work) {
      call.signal.throwIfAborted();
      const count = (calls[verb] ?? 0) + 1;
      calls[verb] = count;
      const fault = script.find((entry) => entry.verb === verb && entry.at === count);
      script = script.filter((entry) => entry !== fault);
      if (this.delayMs > 0) {
        await sleep(this.delayMs, undefined, { signal: call.signal }).catch((error: unknown) => {
          call.signal.throwIfAborted();
          throw error;
        });
      }
      if (fault && fault.error === undefined) await hang(call.signal);
      if (fault?.error && fault.when === 'before') throw fault.error;
      const result = await work();
      if (fault?.error) throw fault.error;
      return result;
    },
  };
}
