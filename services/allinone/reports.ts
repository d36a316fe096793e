import { openPartLog, readLine, type PartLog } from './logs.ts';
import type { Terminal } from './terminal.ts';

/** Where everything goes that the parts say: all of it to their logs, what is wrong to the terminal too. */
export interface Reports {
  /** Returns the line as a person would read it. */
  line(part: string, line: string): string;
  close(): void;
}

/** The same complaint is shown once in this long. */
const quietMs = 30_000;
const warning = 40;

export function openReports(folder: string, terminal: Terminal): Reports {
  const logs = new Map<string, PartLog>();
  const shown = new Map<string, number>();
  const show = (part: string, text: string) => {
    const key = `${part}: ${text}`;
    const now = performance.now();
    if (now - (shown.get(key) ?? -Infinity) < quietMs) return;
    for (const [old, at] of shown) if (now - at >= quietMs) shown.delete(old);
    shown.set(key, now);
    terminal.warn(part, text);
  };
  return {
    line(part, line) {
      let log = logs.get(part);
      if (!log) logs.set(part, log = openPartLog(folder, part));
      log.write(line);
      // Most lines are requests that went well: not parsed.
      const read = line.startsWith('{"level":30,') ? undefined : readLine(line);
      if (!read) return line;
      const text = read.error && read.error !== read.msg ? `${read.msg}: ${read.error}` : read.msg;
      if (read.level >= warning) show(part, text);
      return text;
    },
    close() {
      for (const log of logs.values()) log.end();
    },
  };
}
