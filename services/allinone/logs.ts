import { closeSync, existsSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs';

/** A log of one part: JSON lines in `FOLDER/NAME.log`, the older ones in `.1` and `.2`, each of at most `maxBytes`. */
export interface PartLog {
  /** A line of the part: JSON is kept as it is, text becomes the message of a JSON line. */
  write(line: string): void;
  end(): void;
}

export const defaultMaxBytes = 10 << 20;

export function openPartLog(folder: string, name: string, maxBytes = defaultMaxBytes): PartLog {
  const file = `${folder}/${name}.log`;
  let fd = openSync(file, 'a', 0o600);
  let size = fstatSync(fd).size;
  let waiting: string[] = [];
  let timer: NodeJS.Timeout | undefined;
  const flush = () => {
    clearTimeout(timer);
    timer = undefined;
    const text = waiting.join('');
    waiting = [];
    try {
      writeSync(fd, text);
    } catch (error) {
      // A full disk must not end the cloud: what cannot be written is lost.
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
    }
  };
  const rotate = () => {
    flush();
    closeSync(fd);
    if (existsSync(`${file}.1`)) renameSync(`${file}.1`, `${file}.2`);
    renameSync(file, `${file}.1`);
    fd = openSync(file, 'a', 0o600);
    size = 0;
  };
  return {
    write(line) {
      const json = line.startsWith('{') ? line : JSON.stringify({ level: 30, time: new Date().toISOString(), service: name, msg: line });
      const bytes = Buffer.byteLength(json) + 1;
      if (size > 0 && size + bytes > maxBytes) rotate();
      size += bytes;
      waiting.push(`${json}\n`);
      timer ??= setTimeout(flush, 100).unref();
    },
    end() {
      flush();
      closeSync(fd);
    },
  };
}

/** The part of a pino line that people read, or undefined for text. */
export interface Line { readonly level: number; readonly msg: string; readonly error: string | undefined }
export function readLine(line: string): Line | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const parsed = JSON.parse(line) as { level?: unknown; msg?: unknown; err?: { message?: unknown } };
    const error = parsed.err?.message;
    return { level: Number(parsed.level) || 30, msg: String(parsed.msg ?? ''), error: typeof error === 'string' ? error : undefined };
  } catch {
    return undefined; // looked like JSON and is not
  }
}
