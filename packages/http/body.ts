import type { Readable } from 'node:stream';
import { BadRequest, Fault, TooLarge } from '@cumulet/wire';

const deepest = 64;

/** Reads a JSON body with a bound on bytes, depth and time. Strings that the database cannot hold are refused here, once for every service. */
export async function readJson(stream: Readable, maxBytes: number, timeoutMs: number, malformed: string): Promise<unknown> {
  const chunks: Buffer[] = [];
  let size = 0;
  const late = setTimeout(() => stream.destroy(new Fault(408, 'The body did not arrive in time.')), timeoutMs);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw new TooLarge('Request is too large.');
      chunks.push(chunk);
    }
  } finally { clearTimeout(late); }
  if (size === 0) return undefined;
  const text = Buffer.concat(chunks).toString('utf8');
  let value: unknown;
  try { value = JSON.parse(text); } catch (cause) { throw new BadRequest(malformed, { cause }); }
  checkText(value, 0);
  return value;
}

/** Postgres holds no NUL and no half of a surrogate pair; a `__proto__` member is only ever an attack. */
function checkText(value: unknown, depth: number): void {
  if (typeof value === 'string') return plain(value);
  if (typeof value !== 'object' || value === null) return;
  if (depth > deepest) throw new BadRequest(`The body is nested deeper than ${deepest} levels.`);
  if (Array.isArray(value)) { for (const one of value) checkText(one, depth + 1); return; }
  for (const [key, member] of Object.entries(value)) {
    plain(key);
    if (key === '__proto__') throw new BadRequest("'__proto__' is not allowed as a member name.");
    checkText(member, depth + 1);
  }
}
function plain(text: string): void {
  if (text.includes('\0')) throw new BadRequest('Strings must not contain NUL characters.');
  if (!text.isWellFormed()) throw new BadRequest('Strings must be valid Unicode.');
}
export const isPlain = (text: string): boolean => !text.includes('\0') && text.isWellFormed();
