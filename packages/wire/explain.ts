import type { z } from 'zod';

/** A value as Python prints it, since upstream's messages quote values so and clients' tests look for them. Long values are cut. */
export function python(value: unknown, limit = 1_000): string {
  const text = (v: unknown): string => {
    if (v === null || v === undefined) return 'None';
    if (v === true) return 'True';
    if (v === false) return 'False';
    if (typeof v === 'string') return v.includes("'") && !v.includes('"') ? `"${v}"` : `'${v.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
    if (Array.isArray(v)) return `[${v.map(text).join(', ')}]`;
    if (typeof v === 'object') return `{${Object.entries(v).map(([k, m]) => `${text(k)}: ${text(m)}`).join(', ')}}`;
    return String(v);
  };
  const whole = text(value);
  return whole.length > limit ? `${whole.slice(0, limit)}…` : whole;
}
/** A value in a sentence: a string as it is, all else as Python prints it. `String()` would ask a hostile object how. */
export const bare = (value: unknown): string => (typeof value === 'string' ? value : python(value));

export interface Explained {
  /** Where: the last named member of the path, as upstream says it; undefined for the body itself. */
  readonly field: string | undefined;
  readonly path: readonly (string | number)[];
  readonly value: unknown;
  /** What is wrong in JSON schema's words: `'name' is a required property`. */
  readonly reason: string;
}

/** The first complaint of zod, in the words of the JSON schema validator that upstream's messages come from. */
export function explain(error: z.ZodError, input: unknown): Explained {
  const issue = deepest(error.issues[0] as z.core.$ZodIssue, input);
  const path = issue.path.filter(p => typeof p !== 'symbol');
  const value = path.reduce<unknown>((v, key) => (v as Record<string | number, unknown> | undefined)?.[key], input);
  const named = path.findLast(p => typeof p === 'string');
  const quoted = python(value);
  const at = (reason: string, of = named, quotedValue = value): Explained => ({ field: of === undefined ? undefined : String(of), path, value: quotedValue, reason });
  switch (issue.code) {
    case 'unrecognized_keys': return at(`Additional properties are not allowed (${issue.keys.map(k => python(k)).join(', ')} ${issue.keys.length > 1 ? 'were' : 'was'} unexpected)`);
    case 'invalid_type': {
      if (value === undefined && path.length > 0 && typeof path.at(-1) === 'string') {
        const parent = path.slice(0, -1);
        const holder = parent.reduce<unknown>((v, key) => (v as Record<string | number, unknown> | undefined)?.[key], input);
        const of = parent.findLast(p => typeof p === 'string');
        return { field: of === undefined ? undefined : String(of), path: parent, value: holder, reason: `${python(String(path.at(-1)))} is a required property` };
      }
      return at(`${quoted} is not of type ${python(typeName(issue.expected))}`);
    }
    case 'too_small': return at(issue.origin === 'string' ? (issue.minimum === 1 ? `${quoted} is too short` : `${quoted} is too short`) : issue.origin === 'array' ? `${quoted} is too short` : issue.origin === 'object' ? `${quoted} does not have enough properties` : `${quoted} is less than the minimum of ${issue.minimum}`);
    case 'too_big': return at(issue.origin === 'string' || issue.origin === 'array' ? `${quoted} is too long` : issue.origin === 'object' ? `${quoted} has too many properties` : `${quoted} is greater than the maximum of ${issue.maximum}`);
    case 'invalid_format': return at(issue.format === 'regex' && issue.pattern ? `${quoted} does not match ${python(issue.pattern.replace(/^\/(.*)\/[a-z]*$/s, '$1'))}` : `${quoted} is not a ${python(issue.format)}`);
    case 'invalid_value': return at(`${quoted} is not one of ${python(issue.values)}`);
    case 'custom': { const format = (issue.params as { format?: string } | undefined)?.format; return at(format ? `${quoted} is not a ${python(format)}` : issue.message); }
    default: return at(issue.message);
  }
}

/** In a union the branch that got furthest is the one that the caller meant. */
function deepest(issue: z.core.$ZodIssue, input: unknown): z.core.$ZodIssue {
  if (issue.code !== 'invalid_union') return issue;
  const branches = issue.errors.flatMap(list => list.slice(0, 1)).map(inner => deepest({ ...inner, path: [...issue.path, ...inner.path] } as z.core.$ZodIssue, input));
  return branches.toSorted((a, b) => b.path.length - a.path.length)[0] ?? issue;
}
const typeName = (expected: string) => ({ record: 'object', int: 'integer', nan: 'number' })[expected] ?? expected;

/** nova's and cinder's sentence for a refused body or query. */
export function invalidInput(error: z.ZodError, input: unknown, where: 'body' | 'query'): string {
  const e = explain(error, input);
  if (where === 'query') return e.field === undefined ? `Invalid input for query parameters ${python(e.value)}. ${e.reason}` : `Invalid input for query parameters ${e.field}. Value: ${bare(e.value)}. ${e.reason}`;
  return e.field === undefined ? e.reason : `Invalid input for field/attribute ${e.field}. Value: ${bare(e.value)}. ${e.reason}`;
}
