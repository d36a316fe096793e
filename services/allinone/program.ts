import { setTimeout as sleep } from 'node:timers/promises';
import type { Child, Exit, Runner } from '@cumulet/exec';
import { Refusal } from './refusal.ts';
import type { Part, Running } from './supervisor.ts';

export interface ProgramOptions {
  readonly name: string;
  /** Asked at each start, so that what it needs can be prepared. */
  command(): Promise<readonly [program: string, ...args: string[]]>;
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly stopSignal: NodeJS.Signals;
  readonly graceMs: number;
  /** Every line that it writes. Returns it as a person would read it: the last one is the reason when it does not come up. */
  onLine(line: string): string;
  /** Whether a line says that it is about to end when the last client leaves; ours never leave, so that it is ended then. */
  leaving?(line: string): boolean;
  /** Whether it can be used now; asked every few milliseconds. An error is "not yet". */
  ready(): Promise<boolean> | boolean;
  /** How long it may take to be ready. */
  readonly readyMs: number;
}

/** A program as a part of the cloud. */
export function program(runner: Runner, o: ProgramOptions): Part {
  return {
    name: o.name,
    async start(signal, born) {
      const [file, ...args] = await o.command();
      let last = '';
      let leaving = false;
      const child = await runner.spawn(file, args, {
        env: o.env, cwd: o.cwd, graceMs: o.graceMs,
        onLine: (line) => {
          const words = o.onLine(line);
          if (!leaving && o.leaving?.(line)) {
            leaving = true;
            void stop();
          }
          if (words.trim() !== '' && !(isComplaint(last) && !isComplaint(words))) last = words;
        },
      });
      const stop = async () => void (await child.stop(o.stopSignal));
      born(child.pid);
      try {
        await untilReady(o, child, signal);
      } catch (error) {
        await stop();
        throw error;
      }
      if (!child.running) throw new Refusal(`${o.name} did not come up, ${how(await child.exit)}${last ? `: ${last.slice(0, 300)}` : ''}`);
      return { pid: child.pid, gone: child.exit.then(how), stop } satisfies Running;
    },
  };
}

async function untilReady(o: ProgramOptions, child: Child, signal: AbortSignal): Promise<void> {
  const end = performance.now() + o.readyMs;
  while (child.running) {
    signal.throwIfAborted();
    if (await Promise.resolve(o.ready()).catch(() => false)) return;
    if (performance.now() > end) throw new Refusal(`${o.name} did not come up, not ready within ${o.readyMs / 1000} s`);
    await Promise.race([sleep(20), child.exit]);
  }
}

/** What explains a death better than the lines of a stack that follow it. */
const isComplaint = (line: string): boolean => /^(Uncaught )?\w*Error\b|\bFATAL\b|\berror:/.test(line);
const how = (exit: Exit): string => (exit.signal ? `killed by ${exit.signal}` : `exit code ${exit.exitCode ?? 'unknown'}`);
