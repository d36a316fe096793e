/** What the person sees who typed `npm start`: one short line for each thing worth knowing. */
export interface Terminal {
  say(text: string): void;
  warn(from: string, text: string): void;
}

export function openTerminal(stream: NodeJS.WritableStream, clock: () => Date = () => new Date()): Terminal {
  // The terminal may be closed before we are.
  stream.on('error', () => undefined);
  const line = (text: string) => void stream.write(`${clock().toTimeString().slice(0, 8)} ${text}\n`);
  return { say: (text) => line(text), warn: (from, text) => line(`${from}: ${text}`) };
}
