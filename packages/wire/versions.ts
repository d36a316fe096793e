import { z } from 'zod';
import { BadRequest, NotAcceptable } from './faults.ts';

export type Micro = `${number}.${number}`;
const rank = (v: Micro): number => { const [major, minor] = v.split('.'); return Number(major) * 1e6 + Number(minor); };
/** Negative, zero or positive as `a` is older than, the same as, or newer than `b`. */
export const compare = (a: Micro, b: Micro): number => rank(a) - rank(b);

/**
 * A named piece of the wire: a request body, a query or a reply, in its newest form. Handlers see no other form.
 * `parts` says where other shapes are nested in a reply (`{ volumes: Volume }`: an object, or a list of them), so that one change to
 * Volume reaches every reply that holds one.
 */
export interface Shape<S extends z.ZodType = z.ZodType> {
  readonly name: string;
  readonly newest: S;
  readonly parts: Readonly<Record<string, Shape>>;
}
export const shape = <S extends z.ZodType>(name: string, newest: S, parts: Record<string, Shape> = {}): Shape<S> => ({ name, newest, parts });

/**
 * How one microversion differs from the one before it, told backwards. `why` is the line of the published version history.
 * - `was` (requests, queries): the schema just before `at`, made from the one at `at`
 * - `up` (requests): what an older body means in the newer form
 * - `down` (replies): the older form of a reply; may change its argument, which nobody else holds
 * A change of behaviour has no `shape` but a `trait`, asked for by name: `dialect.has('two phase attach')`.
 */
export interface Change {
  readonly at: Micro;
  readonly why: string;
  readonly shape?: string;
  readonly trait?: string;
  was?(newer: z.ZodType): z.ZodType;
  up?(older: never): unknown;
  down?(newer: never): unknown;
}

/** What one microversion of a service speaks. */
export interface Dialect {
  readonly version: Micro;
  /** The schema of a request or query as this version has it; its output is the newest form. */
  request<S extends z.ZodType>(of: Shape<S>): z.ZodType<z.output<S>>;
  /** A reply in this version's form. */
  reply(of: Shape, newest: unknown): unknown;
  has(trait: string): boolean;
}

export class Versions {
  readonly min: Micro;
  readonly max: Micro;
  readonly changes: readonly Change[];
  readonly #dialects = new Map<string, Dialect>();
  constructor(min: Micro, max: Micro, changes: readonly Change[], offered: Micro = max) {
    this.min = min;
    this.max = offered;
    this.changes = changes.toSorted((a, b) => compare(b.at, a.at));   // newest first: the order in which replies are lowered
    for (const c of changes) if (compare(c.at, min) <= 0 || compare(c.at, max) > 0) throw new RangeError(`change at ${c.at} lies outside ${min} to ${max}`);
  }

  /** The same API by a service that offers nothing newer than `newest` (absent: all), as an older release would. RangeError when it is none of these versions. */
  upTo(newest: Micro | undefined): Versions {
    if (newest === undefined) return this;
    if (compare(newest, this.min) < 0 || compare(newest, this.max) > 0) throw new RangeError(`microversion ${newest} is not within ${this.min} to ${this.max}`);
    return new Versions(this.min, this.max, this.changes, newest);
  }

  /** Reads a header value (`2.60`, `latest`); absent means the oldest. 400 when malformed, 406 when out of range. */
  pick(asked: string | undefined): Dialect {
    if (asked === undefined) return this.at(this.min);
    if (asked.toLowerCase() === 'latest') return this.at(this.max);
    if (!/^[1-9]\d{0,3}\.(0|[1-9]\d{0,3})$/.test(asked)) throw new BadRequest(`API Version String ${asked} is of invalid format. Must be of format MajorNum.MinorNum.`);
    const version = asked as Micro;
    if (compare(version, this.min) < 0 || compare(version, this.max) > 0) {
      throw new NotAcceptable(`Version ${asked} is not supported by the API. Minimum is ${this.min} and maximum is ${this.max}.`, { extra: { max_version: this.max, min_version: this.min } });
    }
    return this.at(version);
  }

  at(version: Micro): Dialect {
    const known = this.#dialects.get(version);
    if (known) return known;
    const dialect = new SpokenVersion(version, this.changes.filter(c => compare(c.at, version) > 0), this.changes);
    this.#dialects.set(version, dialect);
    return dialect;
  }
}

/** A service without microversions speaks its newest form only. */
export const unversioned: Dialect = { version: '1.0', request: of => of.newest as never, reply: (_, newest) => newest, has: () => true };

class SpokenVersion implements Dialect {
  readonly version: Micro;
  readonly #undone: readonly Change[];
  readonly #traits: ReadonlySet<string>;
  readonly #requests = new Map<string, z.ZodType>();
  readonly #lowering = new Map<string, readonly ((reply: never) => unknown)[]>();
  constructor(version: Micro, undone: readonly Change[], all: readonly Change[]) {
    this.version = version;
    this.#undone = undone;
    const missing = new Set(undone.map(c => c.trait));
    this.#traits = new Set(all.flatMap(c => (c.trait !== undefined && !missing.has(c.trait) ? [c.trait] : [])));
  }

  request<S extends z.ZodType>(of: Shape<S>): z.ZodType<z.output<S>> {
    let made = this.#requests.get(of.name);
    if (!made) {
      const mine = this.#undone.filter(c => c.shape === of.name);
      const older = mine.reduce<z.ZodType>((schema, c) => c.was?.(schema) ?? schema, of.newest);
      const ups = mine.toReversed().flatMap(c => (c.up ? [c.up as (older: unknown) => unknown] : []));   // oldest first
      made = ups.length === 0 ? older : older.transform(body => ups.reduce((b, up) => up(b), body as unknown));
      this.#requests.set(of.name, made);
    }
    return made as z.ZodType<z.output<S>>;
  }

  reply(of: Shape, newest: unknown): unknown {
    if (this.#undone.length === 0 || typeof newest !== 'object' || newest === null) return newest;
    let downs = this.#lowering.get(of.name);
    if (!downs) {
      downs = this.#undone.flatMap(c => (c.shape === of.name && c.down ? [c.down] : []));
      this.#lowering.set(of.name, downs);
    }
    const members = newest as Record<string, unknown>;
    for (const [key, part] of Object.entries(of.parts)) {
      const inner = members[key];
      if (Array.isArray(inner)) members[key] = inner.map(one => this.reply(part, one));
      else if (inner !== undefined) members[key] = this.reply(part, inner);
    }
    return downs.reduce<unknown>((reply, down) => down(reply as never), newest);
  }

  has(trait: string): boolean { return this.#traits.has(trait); }
}

/** For `down`: the reply without some members. */
export const without = (...names: string[]) => (reply: Record<string, unknown>) => { for (const name of names) delete reply[name]; return reply; };

/**
 * For `was`: the schema with the object at `path` changed, through wrappers such as optional and nullable:
 * `within(newer, ['server'], server => server.omit({ tags: true }))`.
 */
export function within(schema: z.ZodType, path: readonly string[], change: (object: z.ZodObject) => z.ZodType): z.ZodType {
  if (schema instanceof z.ZodOptional) return within(schema.unwrap() as z.ZodType, path, change).optional();
  if (schema instanceof z.ZodNullable) return within(schema.unwrap() as z.ZodType, path, change).nullable();
  if (schema instanceof z.ZodArray) return z.array(within(schema.element as z.ZodType, path, change));
  if (!(schema instanceof z.ZodObject)) throw new TypeError(`no object at ${path.join('.') || 'the top'}`);
  const [head, ...rest] = path;
  if (head === undefined) return change(schema);
  const inner = schema.shape[head] as z.ZodType | undefined;
  if (!inner) throw new TypeError(`no member ${head}`);
  return schema.safeExtend({ [head]: within(inner, rest, change) });
}
/** For `was`: the schema without some members of the object at `path`. */
export const before = (path: readonly string[], ...names: string[]) => (newer: z.ZodType): z.ZodType =>
  within(newer, path, object => object.omit(Object.fromEntries(names.map(n => [n, true])) as never));
