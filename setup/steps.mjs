import { spawn } from 'node:child_process';
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';

/** One line for the user; everything that programs say goes to the setup log. */
export const say = (/** @type {string} */ line) => process.stderr.write(`cumulet: ${line}\n`);

/** A program that ended badly. The message is one line: the program's own complaint. */
export class StepFailed extends Error {}

const stop = new AbortController();
/** Ctrl-C, or the shell that npm runs us in is gone: end after what must not be broken off. */
export function listenForTheEnd() {
  const parent = process.ppid;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stop.abort());
  setInterval(() => { if (process.ppid !== parent) stop.abort(); }, 500).unref();
}

/**
 * Runs a program to its end. While it takes long, a line says so now and then, with how far it is if `progress` can tell
 * from a line of its output.
 * @param {string} title what the user reads
 * @param {string[]} command program and arguments
 * @param {{ log: string, cwd?: string, env?: NodeJS.ProcessEnv, terminal?: boolean, progress?: (line: string) => string | undefined, whole?: boolean }} options
 *   `terminal` lets the program ask the user (sudo's password); `whole`: is not broken off by Ctrl-C
 * @returns {Promise<string>} what it wrote on stdout
 */
export function step(title, command, { log, cwd, env, terminal = false, progress, whole = false }) {
  const [program = '', ...args] = command;
  const started = Date.now();
  const seconds = () => `${Math.round((Date.now() - started) / 1000)} s`;
  if (stop.signal.aborted && !whole) return Promise.reject(new StepFailed('interrupted'));
  note(log, `$ ${command.join(' ')}\n`);
  return new Promise((resolve, reject) => {
    // A group of its own: Ctrl-C must not stop dpkg half-way through a package.
    const child = spawn(program, args, { cwd, env, stdio: [terminal ? 'inherit' : 'ignore', 'pipe', 'pipe'], detached: !terminal });
    const breakOff = () => {
      if (whole) say('finishing this step first …');
      else child.kill();
    };
    stop.signal.addEventListener('abort', breakOff);
    let far = '';
    let output = '';
    let all = '';
    let rest = '';
    const announce = () => say(`${title}${far ? `: ${far}` : ''} (${seconds()})`);
    const first = setTimeout(() => say(`${title} …`), 300);
    const again = setInterval(announce, 5000);
    const listen = (/** @type {NodeJS.ReadableStream} */ stream, /** @type {boolean} */ keep) => stream.setEncoding('utf8').on('data', (/** @type {string} */ piece) => {
      if (keep) output += piece;
      all = (all + piece).slice(-20_000);
      note(log, piece);
      const lines = (rest + piece).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) far = progress?.(line) ?? far;
    });
    listen(child.stdout, true);
    listen(child.stderr, false);
    const end = (/** @type {Error | undefined} */ error) => {
      clearTimeout(first);
      clearInterval(again);
      stop.signal.removeEventListener('abort', breakOff);
      if (stop.signal.aborted && !whole) error = new StepFailed('interrupted');
      if (error) reject(error);
      else {
        if (Date.now() - started > 2000) say(`${title}: done (${seconds()})`);
        resolve(output);
      }
    };
    child.on('error', (error) => end(new StepFailed(/** @type {NodeJS.ErrnoException} */ (error).code === 'ENOENT' ? `${program} is not installed` : error.message)));
    child.on('close', (code, signal) => end(code === 0 ? undefined : new StepFailed(complaint(all) ?? `${program} ended with ${signal ?? code}`)));
  });
}

/** @param {string} output */
function complaint(output) {
  const lines = output.split('\n').map((l) => l.trim()).filter(Boolean);
  return lines.find((l) => /^(E:|npm (ERR!|error) (?!code\b|A complete log))/.test(l)) ?? lines.at(-1);
}

/** @param {string} log @param {string} text */
function note(log, text) {
  mkdirSync(dirname(log), { recursive: true });
  appendFileSync(log, text);
}
