import { z } from 'zod';

type Json = Record<string, unknown>;
interface Form { type?: string | string[]; properties?: Record<string, Form>; required?: string[]; items?: Form; anyOf?: Form[]; oneOf?: Form[]; allOf?: Form[]; enum?: unknown[]; const?: unknown; pattern?: string; format?: string; minLength?: number; minimum?: number; additionalProperties?: Form | boolean; propertyNames?: Form; minItems?: number; $ref?: string }
/** Values that requests are made of, by a member's name; `parent.name` wins over `name`. */
export type Known = Readonly<Record<string, unknown>>;

/** Where time is short each operation gets its share of what is odd, in turn; undefined where there is time for all. */
export type Turn = number | undefined;
/** What nobody means, in the place of something. A function makes it of what was there; undefined takes the member away. */
type Odd = unknown | ((was: unknown) => unknown);
const proto = () => JSON.parse('{"__proto__":{"a":1},"a":{}}') as unknown;
const nested = (depth: number): unknown => (depth === 0 ? 1 : { a: [nested(depth - 1)] });
/** The ones that every place gets. */
export const few: readonly Odd[] = [null, -1, 1e308, 'x\u0000y\ud800', '💥'.repeat(300), [null], proto];
const large = 'x'.repeat(2 ** 20);
/** And the ones that it gets when there is time. */
export const many: readonly Odd[] = [
  ...few, undefined, true, 0, 1.5, 2 ** 31, 2 ** 63, '', ' ', 'NaN', '\ud800', `'; drop table users; --`, '%s%n', '../../etc/passwd', '9'.repeat(400), '2020-13-45T99:99:99Z', 'http://[::1', '00000000-0000-0000-0000-000000000000', '-1', 'none',
  [], [[]], {}, () => nested(20), () => nested(100), (was: unknown) => [was], (was: unknown) => [was, was], (was: unknown) => ({ a: was }), { constructor: 1, toString: null },
  (was: unknown) => (isObject(was) ? { ...was, 'nobody-knows': 1 } : Array.isArray(was) ? [...was, ...was] : `${String(was)} `),
];
const isObject = (v: unknown): v is Json => typeof v === 'object' && v !== null && !Array.isArray(v);

const formOf = (schema: z.ZodType): Form | undefined => { try { return z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input', cycles: 'ref' }) as Form; } catch { return undefined; } };

/** A body that the schema may take: enough of it to come past the first check. */
function example(form: Form | undefined, known: Known, name = '', parent = '', all = true): unknown {
  if (!form) return {};
  if (`${parent}.${name}` in known) return known[`${parent}.${name}`];
  if (name in known) return known[name];
  if (form.const !== undefined) return form.const;
  if (form.enum) return form.enum[0];
  if (form.allOf) return form.allOf.map(f => example(f, known, name, parent, all)).reduce((a, b) => (isObject(a) && isObject(b) ? { ...a, ...b } : a));
  const branch = form.anyOf ?? form.oneOf;
  if (branch) return example(branch.find(b => b.type !== 'null') ?? branch[0], known, name, parent, all);
  const type = Array.isArray(form.type) ? form.type[0] : form.type;
  switch (type) {
    case 'object': return Object.fromEntries([
      ...Object.entries(form.properties ?? {}).filter(([k]) => all || form.required?.includes(k)).map(([k, f]) => [k, example(f, known, k, name, all)]),
      ...(isObject(form.additionalProperties) && !form.properties ? [['key', example(form.additionalProperties as Form, known, 'key', name, all)]] : []),
    ]);
    case 'array': return [example(form.items, known, name, parent, all)];
    case 'integer': case 'number': return Math.max(1, form.minimum ?? 1);
    case 'boolean': return true;
    case 'null': return null;
    case 'string': return form.format === 'ipv4' ? '10.0.0.5' : form.format === 'ipv6' ? '::1' : form.format === 'uuid' || /[0-9a-f].*\{8\}|\{32\}/.test(form.pattern ?? '') ? '3fa85f64-5717-4562-b3fc-2c963f66afa6' : 'x'.repeat(Math.max(4, form.minLength ?? 0));
    default: return {};
  }
}

export interface Body { readonly value: unknown; /** Where something odd stands in it, `` when nowhere. */ readonly at: string; readonly odd: unknown }
/** Every place in a value, as a way to put something else there. */
function* places(value: unknown, put: (v: unknown) => unknown, at = ''): Generator<{ at: string; was: unknown; put: (v: unknown) => unknown }> {
  yield { at: at || '(body)', was: value, put };
  if (Array.isArray(value)) for (const [i, one] of value.entries()) yield* places(one, v => put(value.with(i, v)), `${at}[${i}]`);
  else if (isObject(value)) for (const [k, one] of Object.entries(value)) yield* places(one, v => put({ ...value, [k]: v }), `${at}.${k}`);
}
function* oddly(base: unknown, odds: readonly Odd[], action: string | undefined, turn: Turn): Generator<Body> {
  let nth = 0;
  for (const { at, was, put } of places(base, v => v)) for (const odd of nth++ % 5 === 0 && odds.length > few.length ? [...odds, large] : odds) {
    if (turn !== undefined && nth > 1 && (odds.indexOf(odd) + nth + turn) % 3 !== 0) continue;
    const instead = typeof odd === 'function' ? odd(was) as unknown : odd;
    const value = put(instead);
    // The member that names the action stays, or it would be another request.
    yield { at, odd: instead, value: action === undefined || (isObject(value) && action in value && value[action] !== undefined) ? value : { [action]: value ?? null } };
  }
}

/** Bodies that a request may be sent with: what the schema wants, with each member in turn replaced by what nobody means. `bodies` are further right ones. */
export function* bodiesOf(schema: z.ZodType | undefined, o: { readonly action?: string | undefined; readonly known: Known; readonly odds: readonly Odd[]; readonly turn: Turn; readonly bodies?: readonly unknown[] }): Generator<Body> {
  const form = schema && formOf(schema);
  const named = (body: unknown) => (o.action === undefined || (isObject(body) && o.action in body) ? body : { [o.action]: null, ...body as object });
  const bases = o.bodies ?? (form ? [example(form, o.known, '', '', false), example(form, o.known)].map(named) : [named({})]);
  for (const base of bases) yield { value: base, at: '', odd: undefined };
  for (const base of o.bodies ?? bases.slice(-1)) yield* oddly(base, o.odds, o.action, o.turn);
}

const texts = ['', '-1', 'constructor:2020-01-01', '99999999999999999999', '\u0000', '💥'.repeat(200), `'; --%`, '\\', '(', '2020-13-45T99:99:99', '{"a":'];
const moreTexts = [...texts, 'x', 'NaN', '1e999', '0x10', ' ', '[]', 'gt:', 'in:', 'in:,,"', 'neq:', 'like:%', 'constructor', 'constructor:2020-01-01T00:00:00Z', 'created_at:sideways,x', '00000000-0000-0000-0000-000000000000', 'true,false', '\ufffe', '%', 'x'.repeat(7_000)];
/** Queries by their schema's members, at least those that every list takes. */
export function queriesOf(schema: z.ZodType | undefined, o: { readonly names?: readonly string[]; readonly turn: Turn }): string[] {
  const names = new Set([...Object.keys(schema ? formOf(schema)?.properties ?? {} : {}), 'limit', 'marker', 'sort_key', 'sort_dir', 'name', 'fields', ...o.names ?? []]);
  const odd = (o.turn === undefined ? moreTexts : texts).map(text => encodeURIComponent(text));
  return [...names].flatMap((name, nth) => [...odd.filter((_, n) => o.turn === undefined || (n + nth + o.turn) % 6 === 0).map(text => `${encodeURIComponent(name)}=${text}`), ...(o.turn === undefined ? [name, `${name}=a&${name}=b`, `${name}[]=a`, `${name}=%`, `${name}=%f0%28`] : [])]).concat('a[b]=c', '=', '%ff=%fe', 'limit=1&limit=2', '__proto__=1', 'constructor=1', '&&&', '%');
}

export const nobody = '00000000-0000-0000-0000-000000000000';
/** Headers that some service reads, with what nobody writes into them. */
export function* headersOf(turn: Turn): Generator<Record<string, string>> {
  const names = ['range', 'content-range', 'if-range', 'if-match', 'if-none-match', 'upload-offset', 'upload-complete', 'upload-length', 'content-length', 'content-type', 'content-encoding', 'x-image-meta-store', 'x-image-meta-size', 'x-openstack-image-size', 'x-openstack-append', 'x-image-cache-clear-target', 'openstack-api-version', 'openstack-auth-receipt', 'openstack-identity-access-rules', 'x-service-token', 'x-subject-token', 'x-auth-token', 'cookie'];
  const odd = ['', ' ', '-1', '0', '1', '1.5', '99999999999999999999', 'NaN', 'bytes=-', 'bytes=-1', 'bytes=0-', 'bytes=5-2', 'bytes=0-0,2-3', 'bytes=99999999999999999999-', 'bytes 0-1/2', 'bytes */*', 'bytes 5-2/9', 'bytes 0-99999999999999999999/*', 'bytes -1-2/3', '*', '"x"', 'W/"x"', 'revision_number=x', 'revision_number=99999999999999999999', 'true', '?1', '__proto__', 'constructor', '\u00ff\u00fe', ',', ';', 'a/b;q=NaN', `'; --`, 'volume', 'compute 99.99', 'volume 3.999999', 'eyJ.eyJ.x', '../../etc/passwd', 'x'.repeat(4_000)];
  for (const [n, name] of names.entries()) for (const [m, value] of odd.entries()) if (turn === undefined || (n + m + turn) % 6 === 0) yield { [name]: value };
}

/** Ids that nothing has; the ones with a `%` are sent as they are. */
export const nowhere = [nobody, '%00', '%ff', '%', '..%2f..', 'x'.repeat(300), '💥', `'--`, '9999999999999999999', '-1', 'null', '%20', '__proto__', 'constructor'];
