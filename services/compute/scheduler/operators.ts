/** The little language of extra specs: `<in> x`, `>= 3`, `s== x`, `<or> a <or> b`; a bare word has to be equal. */
const numeric: Readonly<Record<string, (a: number, b: number) => boolean>> = { '=': (a, b) => a >= b, '==': (a, b) => a === b, '!=': (a, b) => a !== b, '>=': (a, b) => a >= b, '<=': (a, b) => a <= b };
const textual: Readonly<Record<string, (a: string, b: string) => boolean>> = { 's==': (a, b) => a === b, 's!=': (a, b) => a !== b, 's<': (a, b) => a < b, 's<=': (a, b) => a <= b, 's>': (a, b) => a > b, 's>=': (a, b) => a >= b };

/** Whether what a host has meets what is asked of it, in upstream's rules. */
export function meets(has: unknown, asked: string): boolean {
  const [operator = '', ...rest] = asked.trim().split(/\s+/);
  const value = rest.join(' ');
  if (operator === '<in>') return Array.isArray(has) ? has.map(String).includes(value) : String(has).includes(value);
  if (operator === '<all-in>') return Array.isArray(has) && rest.filter(w => w !== '<all-in>').every(w => has.map(String).includes(w));
  if (operator === '<or>') return value.split('<or>').map(v => v.trim()).some(v => v === String(has));
  const compare = numeric[operator];
  if (compare && value !== '') return Number.isFinite(Number(has)) && compare(Number(has), Number(value));
  const order = textual[operator];
  if (order && value !== '') return order(String(has), value);
  return String(has) === asked;
}

type Query = string | number | boolean | null | readonly Query[];
/** JsonFilter's hint `query`: `["and", [">=", "$free_ram_mb", 1024], …]`. What cannot be read is false. */
export function holds(query: unknown, facts: Readonly<Record<string, unknown>>): boolean {
  const value = (q: Query): unknown => (typeof q === 'string' && q.startsWith('$') ? q.slice(1).split('.').reduce<unknown>((o, key) => (typeof o === 'object' && o !== null ? (o as Record<string, unknown>)[key] : undefined), facts) : q);
  const depth = (q: Query): number => (Array.isArray(q) ? 1 + Math.max(0, ...(q as readonly Query[]).map(depth)) : 0);
  const judge = (q: Query): unknown => {
    if (!Array.isArray(q)) return value(q);
    if (q.length === 0) return false;
    const [op, ...raw] = q as readonly Query[];
    const args = raw.map(a => judge(a));
    const [first, ...others] = args;
    if (args.some(a => a === undefined)) return false;
    const each = (test: (a: never, b: never) => boolean) => others.length > 0 && others.every(o => test(first as never, o as never));
    switch (op) {
      case '=': return each((a, b) => a === b);
      case '<': return each((a, b) => a < b);
      case '>': return each((a, b) => a > b);
      case '<=': return each((a, b) => a <= b);
      case '>=': return each((a, b) => a >= b);
      case 'in': return others.flat().includes(first);
      case 'not': return args.every(a => a === false);
      case 'or': return args.some(a => a === true);
      case 'and': return args.every(a => a === true);
      default: return false;
    }
  };
  let parsed: Query;
  try { parsed = (typeof query === 'string' ? JSON.parse(query) : query) as Query; } catch { return false; }   // a hint is a user's text: what is no JSON matches no host
  return depth(parsed) <= 20 && judge(parsed) === true;
}
