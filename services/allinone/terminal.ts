/** What the person sees who typed `npm start`: one short line for each thing worth knowing. */
export interface Terminal {
  say(text: string): void;
  warn(from: string, text: string): void;
  table(rows: readonly (readonly [string, string])[]): void;
}

export function openTerminal(stream: NodeJS.WritableStream, clock: () => Date = () => new Date()): Terminal {
  // The terminal may be closed before we are.
  stream.on('error', () => undefined);
  const line = (text: string) => void stream.write(`${clock().toTimeString().slice(0, 8)} ${text}\n`);
  const table = (rows: readonly (readonly [string, string])[]) => {
    const width = Math.max(...rows.map(([name]) => name.length));
    stream.write(`\n${rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}\n`).join('')}\n`);
  };
  return { say: (text) => line(text), warn: (from, text) => line(`${from}: ${text}`), table };
}
