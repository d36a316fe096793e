import { z } from 'zod';
import { parseBool, uuid } from '@cumulet/wire';

/** Pieces of request bodies with upstream's limits. */

/** 1 to 255 characters, not only blanks, none at the ends, and no control characters. */
// oxlint-disable-next-line no-control-regex
export const name = z.string().min(1).max(255).regex(/^(?![\s])[^\x00-\x1f\x7f]*(?<![\s])$/u);
export const description = z.string().max(255).regex(/^[^\x00-\x09\x0b-\x1f\x7f]*$/u).nullable();   // oxlint-disable-line no-control-regex
export const metadataKey = z.string().regex(/^[a-zA-Z0-9-_:. ]{1,255}$/);
export const metadata = z.record(metadataKey, z.string().max(255));
export const boolean = z.union([z.boolean(), z.string()]).transform((v, ctx) => {
  const b = parseBool(v);
  if (b === undefined) ctx.addIssue({ code: 'custom', message: `'${String(v)}' is not one of [True, 'True', 'TRUE', 'true', '1', 'ON', 'On', 'on', 'YES', 'Yes', 'yes', 'y', 't', False, 'False', 'FALSE', 'false', '0', 'OFF', 'Off', 'off', 'NO', 'No', 'no', 'n', 'f']` });
  return b ?? false;
});
/** Numbers arrive as numbers or as digits. */
export const whole = (min: number, max = 0x7fffffff) => z.union([z.int(), z.string().regex(/^[0-9]*$/)]).transform((v, ctx) => {
  const n = Number(v);
  if (v === '' || n < min) ctx.addIssue({ code: 'custom', message: v === '' ? `'' does not match '^[0-9]*$'` : `${v} is less than the minimum of ${min}` });
  if (n > max) ctx.addIssue({ code: 'custom', message: `${v} is greater than the maximum of ${max}` });
  return n;
});
export const tag = z.string().min(1).max(60).regex(/^[^,/]*$/);
export const tags = z.array(tag).max(50);
/** Device tags are one word shorter than server tags in what they allow. */
export const deviceTag = z.string().min(1).max(60).regex(/^[^,/]*$/);
export const hostname = z.string().min(1).max(63).regex(/^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$/);
/** A whole domain name, since 2.94. */
export const fqdn = z.string().min(1).max(255).regex(/^[a-zA-Z0-9-._]*$/);
export const hostName = z.string().min(1).max(255).regex(/^[a-zA-Z0-9-._]*$/);
export const ipv4 = z.ipv4();
/** Kept in its shortest form. */
export const ipv6 = z.ipv6().transform(a => new URL(`http://[${a}]`).hostname.slice(1, -1));
export const diskConfig = z.enum(['AUTO', 'MANUAL']);
export const adminPass = z.string();
export const keyName = z.string().min(1).max(255).nullable();
export const zone = z.string().min(1).max(255);
/** Whole groups of four, as Python decodes it. */
const base64 = (max?: number) => (max === undefined ? z.string() : z.string().max(max)).superRefine((v, ctx) => {
  const dense = v.replaceAll(/\s/g, '');
  if (dense.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(dense)) ctx.addIssue({ code: 'custom', params: { format: 'base64' } });
});
/** 65,535 characters of base64 at most. */
export const userData = base64(65_535).nullable();
export const personality = z.array(z.strictObject({ path: z.string(), contents: base64() }));
export const trustedCerts = z.array(z.string().min(1)).min(1).max(50).superRefine((v, ctx) => {
  if (new Set(v).size < v.length) ctx.addIssue({ code: 'custom', message: `[${v.map(one => `'${one}'`).join(', ')}] has non-unique elements` });
}).nullable();
export const imageRef = z.union([uuid, z.literal('')]);
export { uuid };
