import type { PolicyCredentials } from './credentials.ts';
import { type Check, PolicyError } from './parse.ts';

/** The thing acted on, as its service read it from path and database. Names may be nested (`target.user.id`) or flat (`project_id`). */
export type PolicyTarget = Readonly<Record<string, unknown>>;
export type Decide = (credentials: PolicyCredentials, target: PolicyTarget) => boolean;

/** Values are compared as Python prints them, because policy files are written against that. */
const printed = (value: unknown): string => (value === true ? 'True' : value === false ? 'False' : value === null ? 'None' : String(value));

/** Reads `a.b.c`: a member of that whole name, else step by step. Undefined when absent. */
function reader(path: string): (from: PolicyTarget) => unknown {
  const steps = path.split('.');
  return from => {
    if (Object.hasOwn(from, path)) return from[path];
    let value: unknown = from;
    for (const step of steps) {
      if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined;
      value = (value as Record<string, unknown>)[step];
    }
    return value;
  };
}

/** A check's right side: text with `%(name)s` filled in from the target; undefined (so: refused) when the target lacks the name. */
function filler(match: string): (target: PolicyTarget) => string | undefined {
  const parts = match.split(/%\(([^)]+)\)s/);   // odd places are names
  if (parts.length === 1) return () => match;
  const readers = parts.map((part, i) => (i % 2 === 1 ? reader(part) : undefined));
  return target => {
    let text = '';
    for (const [i, read] of readers.entries()) {
      const value = read ? read(target) : parts[i];
      if (value === undefined) return undefined;
      text += read ? printed(value) : value;
    }
    return text;
  };
}

const literal = /^(?:'([^']*)'|"([^"]*)"|(None|True|False|-?\d+))$/;

function compileMatch(kind: string, match: string, rule: (name: string) => Decide): Decide {
  if (kind === 'rule') return rule(match);
  const fill = filler(match);
  if (kind === 'role') {
    return ({ roles }, target) => {
      const wanted = fill(target)?.toLowerCase();
      return wanted !== undefined && (roles as readonly string[]).some(r => r.toLowerCase() === wanted);
    };
  }
  if (kind === 'field') return compileField(match);
  const fixed = literal.exec(kind);
  if (fixed) {
    const value = fixed[1] ?? fixed[2] ?? fixed[3];
    return (_, target) => fill(target) === value;
  }
  const read = reader(kind);
  return (credentials, target) => {
    const wanted = fill(target);
    if (wanted === undefined) return false;
    const held = read(credentials);
    if (held === undefined) return false;
    return Array.isArray(held) ? held.some(one => printed(one) === wanted) : printed(held) === wanted;
  };
}

/** neutron's own check, `field:RESOURCE:NAME=VALUE` or `=~REGEX`: a look at the target alone. */
function compileField(match: string): Decide {
  const parts = /^[^:]+:([^=]+)=(.*)$/.exec(match);
  if (!parts) throw new PolicyError(`field:${match} is not field:RESOURCE:NAME=VALUE`);
  const [, name = '', value = ''] = parts;
  const read = reader(name);
  if (value.startsWith('~')) {
    const pattern = new RegExp(value.slice(1));
    return (_, target) => { const held = read(target); return held !== undefined && held !== null && pattern.test(printed(held)); };
  }
  return (_, target) => { const held = read(target); return held !== undefined && printed(held) === value; };
}

/** Turns a tree into a function once, so that asking costs no parsing. `rule` gives the function of another rule. */
export function compile(check: Check, rule: (name: string) => Decide): Decide {
  switch (check.op) {
    case 'true': return () => true;
    case 'false': return () => false;
    case 'not': { const inner = compile(check.of, rule); return (c, t) => !inner(c, t); }
    case 'and': { const all = check.of.map(one => compile(one, rule)); return (c, t) => all.every(one => one(c, t)); }
    case 'or': { const any = check.of.map(one => compile(one, rule)); return (c, t) => any.some(one => one(c, t)); }
    case 'match': return compileMatch(check.kind, check.match, rule);
  }
}

/**
 * Compiles a whole set. A rule that names an unknown rule falls to `default` as in oslo.policy, else refuses.
 * A rule that leads back to itself is an error.
 */
export function compileAll(checks: ReadonlyMap<string, Check>): Map<string, Decide> {
  const done = new Map<string, Decide>();
  const open: string[] = [];
  const rule = (name: string): Decide => {
    const ready = done.get(name);
    if (ready) return ready;
    const check = checks.get(name);
    if (!check) return name !== 'default' && checks.has('default') ? rule('default') : () => false;
    if (open.includes(name)) throw new PolicyError(`rules lead in a circle: ${[...open, name].join(' -> ')}`);
    open.push(name);
    const decide = compile(check, rule);
    open.pop();
    done.set(name, decide);
    return decide;
  };
  for (const name of checks.keys()) rule(name);
  return done;
}
