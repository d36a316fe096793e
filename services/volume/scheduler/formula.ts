/**
 * The arithmetic of filter_function and goodness_function: numbers, names such as `volume.size`, + - * / ^, comparisons, and or not, `a ? b : c`,
 * abs, max, min. Gives a number; comparisons give 1 or 0. Never runs anything: it is read by descent, and what it cannot read throws.
 */
export function evaluate(formula: string, names: Readonly<Record<string, Readonly<Record<string, unknown>>>>): number {
  const tokens = formula.match(/\d+(?:\.\d+)?|"[^"]*"|'[^']*'|[A-Za-z_][\w.]*|<=|>=|==|!=|<>|&&|\|\||[-+*/^()<>?:,!|&]/g) ?? [];
  if (tokens.join('').length !== formula.replaceAll(/\s+/g, '').length && !/["']/.test(formula)) throw new Error(`cannot read the formula ${formula}`);
  let at = 0;
  const peek = () => tokens[at];
  const take = (...wanted: string[]) => (wanted.includes(peek() ?? '') ? tokens[at++] : undefined);
  const need = (wanted: string) => { if (take(wanted) === undefined) throw new Error(`${wanted} expected in the formula ${formula}`); };
  const choice = (): number => {
    const test = either();
    if (!take('?')) return test;
    const yes = choice();
    need(':');
    const no = choice();
    return test ? yes : no;
  };
  const either = (): number => { let left = both(); while (take('or', '|', '||')) { const right = both(); left = left || right ? 1 : 0; } return left; };
  const both = (): number => { let left = negated(); while (take('and', '&', '&&')) { const right = negated(); left = left && right ? 1 : 0; } return left; };
  const negated = (): number => (take('not', '!') ? (negated() ? 0 : 1) : compared());
  const compared = (): number => {
    const left = sum();
    const op = take('<', '>', '<=', '>=', '==', '!=', '<>');
    if (op === undefined) return left;
    const right = sum();
    const holds = op === '<' ? left < right : op === '>' ? left > right : op === '<=' ? left <= right : op === '>=' ? left >= right : op === '==' ? left === right : left !== right;
    return holds ? 1 : 0;
  };
  const sum = (): number => { let left = product(); for (let op = take('+', '-'); op; op = take('+', '-')) left = op === '+' ? left + product() : left - product(); return left; };
  const product = (): number => { let left = power(); for (let op = take('*', '/'); op; op = take('*', '/')) left = op === '*' ? left * power() : left / power(); return left; };
  const power = (): number => { const left = unary(); return take('^') ? left ** power() : left; };
  const unary = (): number => (take('-') ? -unary() : take('+') ? unary() : atom());
  const atom = (): number => {
    if (take('(')) { const inner = choice(); need(')'); return inner; }
    const token = tokens[at++];
    if (token === undefined) throw new Error(`the formula ${formula} ends too early`);
    if (/^\d/.test(token)) return Number(token);
    const call = ({ abs: Math.abs, max: Math.max, min: Math.min } as Record<string, (...n: number[]) => number>)[token];
    if (call) {
      need('(');
      const list = [choice()];
      while (take(',')) list.push(choice());
      need(')');
      return call(...list);
    }
    const [group = '', ...key] = token.split('.');
    const value = Number(names[group]?.[key.join('.')]);
    if (Number.isNaN(value)) throw new Error(`the formula names ${token}, which is no number`);
    return value;
  };
  const result = choice();
  if (at < tokens.length) throw new Error(`cannot read ${tokens.slice(at).join(' ')} in the formula ${formula}`);
  return result;
}
