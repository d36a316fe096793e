import { bare, parseBool, python } from '@cumulet/wire';
import { z } from 'zod';
import { parseIp, parsePrefix } from '../subnets/addresses.ts';

/** Neutron converts where others refuse: `"true"`, `1` and `True` are booleans to it. */
export const flag = z.preprocess(v => parseBool(v) ?? v, z.boolean());
export const name = z.string().max(255);
export const projectId = z.string().max(255);
export const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i);
export const integer = z.preprocess(v => (typeof v === 'string' && /^-?\d+$/.test(v) ? Number(v) : v), z.int());
const octet = '(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)';
export const ipv4 = z.string().regex(new RegExp(`^${octet}(?:\\.${octet}){3}$`));
export const cidr4 = z.string().regex(new RegExp(`^${octet}(?:\\.${octet}){3}/(?:3[0-2]|[12]?\\d)$`));
/** Of either family; a feature says which one it needs. */
export const ip = z.string().max(64).refine(text => parseIp(text) !== undefined, 'is not a valid IP address');
export const cidr = z.string().max(64).refine(text => text.includes('/') && parsePrefix(text) !== undefined, 'is not a valid IP subnet');
export const mac = z.string().regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i).transform(m => m.toLowerCase());
export const tag = z.string().min(1).max(60).regex(/^[^,/]*$/);
/** A list in which nothing stands twice: neutron refuses what it would else drop. */
export const distinct = <S extends z.ZodType>(one: S, duplicate: (what: string) => string) => z.array(one).superRefine((list, ctx) => {
  const seen = new Set<string>();
  const twice = list.find(v => { const text = JSON.stringify(v); return seen.has(text) || !seen.add(text); });
  if (twice !== undefined) ctx.addIssue({ code: 'custom', message: duplicate(bare(twice)) });
});
const label = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** `example.org.`: labels of RFC 1123, the dot of the root at the end; or nothing. */
export const domainName = z.string().max(255).transform(text => text.toLowerCase()).refine(text => {
  if (text === '') return true;
  const labels = text.slice(0, -1).split('.');
  return text.endsWith('.') && labels.every(l => label.test(l)) && (labels.length === 1 || !/^\d+$/.test(labels.at(-1) ?? ''));
}, { error: issue => `${python(issue.input)} is not a FQDN` });
/** Several at once; each may be wrapped in its own name once more (`{ports: [{port: {…}}]}`), as neutron takes it. */
export const several = <S extends z.ZodType>(name: string, one: S) => z.array(z.preprocess(v => (typeof v === 'object' && v !== null && Object.hasOwn(v, name) ? (v as Record<string, unknown>)[name] : v), one)).min(1);
export const named = { name: name.optional(), description: name.optional() };
export const owned = { project_id: projectId.optional(), tenant_id: projectId.optional() };
