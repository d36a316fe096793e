/** A policy file or check that cannot be used; the message names the rule. */
export class PolicyError extends Error { override name = 'PolicyError'; }

/** oslo.policy's language as a tree. `match` may hold one `%(name)s` that the target fills in. */
export type Check =
  | { readonly op: 'true' | 'false' }
  | { readonly op: 'not'; readonly of: Check }
  | { readonly op: 'and' | 'or'; readonly of: readonly Check[] }
  | { readonly op: 'match'; readonly kind: string; readonly match: string };

const always: Check = { op: 'true' };
const never: Check = { op: 'false' };

/** Reads a rule's value: the text language, or the list-of-lists of old files (outer list is `or`, inner `and`). */
export function parseRule(name: string, value: unknown): Check {
  if (typeof value === 'string') return parseText(name, value);
  if (Array.isArray(value)) return parseLists(name, value);
  throw new PolicyError(`rule ${name}: a check is text or a list, not ${value === null ? 'null' : typeof value}`);
}

function parseLists(name: string, outer: readonly unknown[]): Check {
  if (outer.length === 0) return always;
  const branches = outer.flatMap(inner => {
    const checks = Array.isArray(inner) ? inner : [inner];
    if (checks.length === 0) return [];   // oslo.policy skips empty inner lists
    return [join('and', checks.map(c => {
      if (typeof c !== 'string') throw new PolicyError(`rule ${name}: a list holds something that is not text`);
      return single(name, c);
    }))];
  });
  return branches.length === 0 ? never : join('or', branches);
}

type Token = { readonly is: '(' | ')' | 'and' | 'or' | 'not' } | { readonly is: 'check'; readonly check: Check };

/** Words are parted by blanks; brackets may touch them. A bracket inside `%(x)s` belongs to its word. */
function* tokens(name: string, text: string): Generator<Token> {
  for (const word of text.trim().split(/\s+/)) {
    const rest = word.replace(/^\(+/, '');
    for (let i = rest.length; i < word.length; i++) yield { is: '(' };
    if (rest === '') continue;
    const open = rest.match(/\(/g)?.length ?? 0;
    const trailing = /\)*$/.exec(rest)?.[0].length ?? 0;
    const closed = (rest.match(/\)/g)?.length ?? 0);
    const closers = Math.min(trailing, Math.max(0, closed - open));
    const core = rest.slice(0, rest.length - closers);
    if (core !== '') {
      const lower = core.toLowerCase();
      if (lower === 'and' || lower === 'or' || lower === 'not') yield { is: lower };
      else yield { is: 'check', check: single(name, core) };
    }
    for (let i = 0; i < closers; i++) yield { is: ')' };
  }
}

function single(name: string, text: string): Check {
  if (text === '@') return always;
  if (text === '!') return never;
  const colon = text.indexOf(':');
  if (colon <= 0) throw new PolicyError(`rule ${name}: ${JSON.stringify(text)} is not a check (kind:match)`);
  const kind = text.slice(0, colon);
  const match = text.slice(colon + 1);
  if (kind === 'http' || kind === 'https') throw new PolicyError(`rule ${name}: remote checks (${kind}:) are not supported`);
  return { op: 'match', kind, match };
}

const join = (op: 'and' | 'or', of: readonly Check[]): Check => (of.length === 1 ? (of[0] as Check) : { op, of });

/** `not` binds closest, then `and`, then `or`. */
function parseText(name: string, text: string): Check {
  if (text.trim() === '') return always;
  const list = [...tokens(name, text)];
  let at = 0;
  const wrong = () => new PolicyError(`rule ${name}: cannot read ${JSON.stringify(text)}`);
  const chain = (op: 'and' | 'or', next: () => Check): Check => {
    const parts = [next()];
    while (list[at]?.is === op) { at++; parts.push(next()); }
    return join(op, parts);
  };
  const atom = (): Check => {
    const token = list[at++];
    if (token?.is === 'check') return token.check;
    if (token?.is === 'not') return { op: 'not', of: atom() };
    if (token?.is !== '(') throw wrong();
    const inner = either();
    if (list[at++]?.is !== ')') throw wrong();
    return inner;
  };
  const either = (): Check => chain('or', () => chain('and', atom));
  const tree = either();
  if (at !== list.length) throw wrong();
  return tree;
}
