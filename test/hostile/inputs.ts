import { z } from 'zod';

type Json = Record<string, unknown>;
interface Form { type?: string | string[]; properties?: Record<string, Form>; required?: string[]; items?: Form; anyOf?: Form[]; oneOf?: Form[]; allOf?: Form[]; enum?: unknown[]; const?: unknown; pattern?: string; format?: string; minLength?: number; minimum?: number; additionalProperties?: Form | boolean; propertyNames?: Form; minItems?: number; $ref?: string }

/** What nobody means, in the place of something. */
const hostile: readonly unknown[] = [null, -1, 1e308, 'x\u0000y\ud800', '💥'.repeat(300), [null], JSON.parse('{"__proto__":{"a":1},"a":{}}')];

const formOf = (schema: z.ZodType): Form | undefined => { try { return z.toJSONSchema(schema, { unrepresentable: 'any', io: 'input', cycles: 'ref' }) as Form; } catch { return undefined; } };

/** A body that the schema may take: enough of it to come past the first check. `known` has values by a member's name. */
function example(form: Form | undefined, known: Readonly<Record<string, unknown>>, name = '', all = true): unknown {
  if (!form) return {};
  if (name in known) return known[name];
  if (form.const !== undefined) return form.const;
  if (form.enum) return form.enum[0];
  const branch = form.anyOf ?? form.oneOf ?? form.allOf;
  if (branch) return example(branch.find(b => b.type !== 'null') ?? branch[0], known, name, all);
  const type = Array.isArray(form.type) ? form.type[0] : form.type;
  switch (type) {
    case 'object': return Object.fromEntries(Object.entries(form.properties ?? {}).filter(([k]) => all || form.required?.includes(k)).map(([k, f]) => [k, example(f, known, k, all)]));
    case 'array': return [example(form.items, known, name, all)];
    case 'integer': case 'number': return Math.max(1, form.minimum ?? 1);
    case 'boolean': return true;
    case 'null': return null;
    case 'string': return form.format === 'ipv4' ? '10.0.0.5' : form.format === 'ipv6' ? '::1' : form.format === 'uuid' || /[0-9a-f].*\{8\}|\{32\}/.test(form.pattern ?? '') ? '3fa85f64-5717-4562-b3fc-2c963f66afa6' : 'x'.repeat(Math.max(4, form.minLength ?? 0));
    default: return {};
  }
}

/** Every place in a value, as a way to put something else there. */
function* places(value: unknown, put: (v: unknown) => unknown): Generator<(v: unknown) => unknown> {
  yield put;
  if (Array.isArray(value)) for (const [i, one] of value.entries()) yield* places(one, v => put(value.with(i, v)));
  else if (typeof value === 'object' && value !== null) for (const [k, one] of Object.entries(value)) yield* places(one, v => put({ ...value as Json, [k]: v }));
}

/** Bodies that a request may be sent with: what the schema wants, with each member in turn replaced by what nobody means. */
export function* bodiesOf(schema: z.ZodType | undefined, o: { readonly action?: string; readonly known: Readonly<Record<string, unknown>>}): Generator<unknown> {
  const form = schema && formOf(schema);
  const base = form ? example(form, o.known) : o.action === undefined ? {} : { [o.action]: null };
  if (form) yield example(form, o.known, '', false);
  yield base;
  for (const put of places(base, v => v)) for (const value of hostile) {
    const body = put(value);
    // The member that names the action stays, or it would be another request.
    yield o.action === undefined || (typeof body === 'object' && body !== null && !Array.isArray(body) && o.action in body) ? body : { [o.action]: body };
  }
}
/** Members of a query by its schema, at least those that every list takes. */
export function queriesOf(schema: z.ZodType | undefined): string[] {
  const names = new Set([...Object.keys(schema ? formOf(schema)?.properties ?? {} : {}), 'limit', 'marker', 'sort_key', 'sort_dir', 'name', 'fields']);
  const texts = ['', '-1', '99999999999999999999', '\u0000', '💥'.repeat(200), `'; --%`, '\\', '(', '2020-13-45T99:99:99', '{"a":'];
  return [...names].flatMap(name => texts.map(text => `${name}=${encodeURIComponent(text.isWellFormed() ? text : '\ufffd')}`)).concat('a[b]=c', '=', '%ff=%fe', 'limit=1&limit=2', '__proto__=1');
}
