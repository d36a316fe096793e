import { createHmac, timingSafeEqual } from 'node:crypto';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const step = 30_000;

/** RFC 4648 base32, padding optional; undefined when it is none. */
export function fromBase32(text: string): Buffer | undefined {
  const letters = text.trim().replace(/=+$/, '');
  if (letters === '' || !/^[A-Z2-7]+$/.test(letters)) return undefined;
  let bits = 0;
  let value = 0;
  const bytes: number[] = [];
  for (const letter of letters) {
    value = ((value << 5) | alphabet.indexOf(letter)) & 0xfff;
    bits += 5;
    if (bits >= 8) { bits -= 8; bytes.push((value >> bits) & 0xff); }
  }
  return Buffer.from(bytes);
}

/** The six digits of RFC 6238 (SHA-1, 30 seconds), which every authenticator app shows. */
export function passcode(secret: Uint8Array, at: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(Math.floor(at / step)));
  const digest = createHmac('sha1', secret).update(counter).digest();
  const offset = (digest.at(-1) as number) & 0xf;
  return String((digest.readUInt32BE(offset) & 0x7fffffff) % 1_000_000).padStart(6, '0');
}

/** Takes the present passcode and the one before it, since people type slowly (keystone: included_previous_windows = 1). */
export function isPasscode(base32: string, given: string, now: number): boolean {
  const secret = fromBase32(base32);
  if (!secret || !/^\d{6}$/.test(given)) return false;
  const digits = Buffer.from(given);
  return [now, now - step].some(at => timingSafeEqual(Buffer.from(passcode(secret, at)), digits));
}
