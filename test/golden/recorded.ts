import { existsSync, readdirSync, readFileSync } from 'node:fs';

/** Where the peer's replies are: beside the repository. */
const folder = new URL('../../../shared/peer/golden/', import.meta.url);

export interface Exchange {
  readonly service: string;
  readonly request: { readonly method: string; readonly path: string; readonly headers: Readonly<Record<string, string>>; readonly body: unknown };
  readonly response: { readonly status: number; readonly headers: Readonly<Record<string, string>>; readonly body: unknown };
}
export interface Recorded { readonly operation: string; readonly user: string | null; readonly exchange: Exchange }

/** Every exchange with a service, in the order of the files' names. Throws when the recordings are not there. */
export function recorded(service: string): Recorded[] {
  const files = new URL(`${service}/`, folder);
  if (!existsSync(files)) throw new Error(`no recordings of the peer: ${files.pathname} is not there`);
  return readdirSync(files).filter((name) => name.endsWith('.json')).toSorted().flatMap((name) => {
    const { operation, user, exchanges } = JSON.parse(readFileSync(new URL(name, files), 'utf8')) as { operation: string; user: string | null; exchanges: Exchange[] };
    return exchanges.filter((exchange) => exchange.service === service).map((exchange) => ({ operation, user, exchange }));
  });
}

export const header = (headers: Readonly<Record<string, unknown>>, name: string): unknown => Object.entries(headers).find(([key]) => key.toLowerCase() === name)?.[1];

type Kind = 'null' | 'array' | 'object' | 'string' | 'number' | 'boolean';
const kind = (value: unknown): Kind => (value === null || value === undefined ? 'null' : Array.isArray(value) ? 'array' : typeof value as Kind);

/**
 * Where two bodies differ in keys or types, as paths like `server.addresses.private[].addr`. Null is a type of its own, lists are compared by their first
 * members, and maps whose keys are data by their own names (`opaque`) only by type.
 */
export function differences(theirs: unknown, mine: unknown, opaque: ReadonlySet<string>, path = ''): string[] {
  const [a, b] = [kind(theirs), kind(mine)];
  if (a !== b) return [`${path}: ${b} instead of ${a}`];
  if (a === 'array') {
    const [x, y] = [(theirs as unknown[])[0], (mine as unknown[])[0]];
    return x === undefined || y === undefined ? [] : differences(x, y, opaque, `${path}[]`);
  }
  if (a !== 'object' || opaque.has(path.split('.').at(-1)?.replace('[]', '') ?? '')) return [];
  const [left, right] = [theirs as Record<string, unknown>, mine as Record<string, unknown>];
  return [...new Set([...Object.keys(left), ...Object.keys(right)])].flatMap((key) => {
    const here = path === '' ? key : `${path}.${key}`;
    if (!(key in right)) return [`${here}: missing`];
    if (!(key in left)) return [`${here}: more than upstream`];
    return differences(left[key], right[key], opaque, here);
  });
}
