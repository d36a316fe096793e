import { BadRequest, isUuidLike, withDashes, type Dialect } from '@cumulet/wire';
import { hasRoom, type Amounts, type Provider } from './store.ts';

/** What a group of a query asks of one provider. */
export interface Wish {
  readonly resources: Amounts;
  /** Each entry: at least one of these traits. */
  readonly required: readonly (readonly string[])[];
  readonly forbidden: readonly string[];
  /** Each entry: a member of at least one of these aggregates. */
  readonly memberOf: readonly (readonly string[])[];
  readonly notMemberOf: readonly string[];
  readonly inTree: string | undefined;
}

export type Query = Readonly<Record<string, string | string[]>>;
const values = (query: Query, name: string): string[] => [query[name] ?? []].flat();

export const wishOf = (query: Query, suffix: string, dialect: Dialect): Wish => ({
  resources: resourcesOf(values(query, `resources${suffix}`).at(-1)),
  ...traitsOf(values(query, `required${suffix}`), `required${suffix}`, dialect),
  ...aggregatesOf(values(query, `member_of${suffix}`), `member_of${suffix}`, dialect),
  inTree: inTreeOf(values(query, `in_tree${suffix}`).at(-1)),
});

/** A filter that this version does not know is an unknown parameter. `pattern`: what those that are no single names have to look like. */
export function refuseUnknown(query: Query, known: (name: string) => boolean, pattern?: string): void {
  const unknown = Object.keys(query).filter(name => !known(name));
  if (unknown.length > 0 && pattern !== undefined) throw new BadRequest(`Invalid query string parameters: ${unknown.map(n => `'${n}'`).join(', ')} ${unknown.length === 1 ? 'does' : 'do'} not match any of the regexes: '${pattern}'`);
  if (unknown.length > 0) throw new BadRequest(`Invalid query string parameters: Additional properties are not allowed (${unknown.map(n => `'${n}'`).join(', ')} ${unknown.length === 1 ? 'was' : 'were'} unexpected)`);
}

/** `VCPU:1,MEMORY_MB:64` */
function resourcesOf(text: string | undefined): Amounts {
  if (text === undefined) return {};
  const amounts: Record<string, number> = {};
  const malformed = (got: string) => new BadRequest(`Badly formed resources parameter. Expected resources query string parameter in form: ?resources=VCPU:2,MEMORY_MB:1024. Got: ${got}.`);
  if (text.trim() === '') throw malformed('empty string');
  for (const part of text.split(',')) {
    const [name = '', amount, more] = part.split(':').map(t => t.trim());
    if (amount === undefined || more !== undefined) throw malformed(part);
    if (!/^[+-]?\d{1,9}$/.test(amount)) throw new BadRequest(`Requested resource ${name} expected positive integer amount. Got: ${amount}.`);
    if (Number(amount) < 1) throw new BadRequest(`Requested resource ${name} requires amount >= 1. Got: ${Number(amount)}.`);
    if (!/^[A-Z0-9_]{1,255}$/.test(name)) throw new BadRequest(`Invalid resource class in resources parameter: No such resource class ${name}.`);
    amounts[name] = Number(amount);
  }
  return amounts;
}

/** `A,!B`, and from 1.39 `in:C,D` */
function traitsOf(texts: readonly string[], name: string, dialect: Dialect): Pick<Wish, 'required' | 'forbidden'> {
  const required: string[][] = [];
  const forbidden: string[] = [];
  const bad = (text: string) => new BadRequest(`Invalid query string parameters: Expected '${name}' parameter value of the form: HW_CPU_X86_VMX,${dialect.has('forbidden traits') ? '!CUSTOM_MAGIC' : 'CUSTOM_MAGIC'}. Got: ${text}`);
  for (const text of dialect.has('any of traits') ? texts : texts.slice(-1)) {
    if (text.startsWith('in:')) {
      if (!dialect.has('any of traits')) throw new BadRequest(`Invalid query string parameters: The format 'in:HW_CPU_X86_VMX,CUSTOM_MAGIC' only supported since microversion 1.39. Got: ${text}`);
      required.push(text.slice(3).split(',').map(t => trait(t.trim(), text)));
      continue;
    }
    for (const part of text.split(',').map(t => t.trim())) {
      if (part.startsWith('!') && dialect.has('forbidden traits')) forbidden.push(trait(part.slice(1), text));
      else required.push([trait(part, text)]);
    }
  }
  return { required, forbidden };

  function trait(one: string, text: string): string {
    if (!/^[A-Z0-9_]{1,255}$/.test(one)) throw bad(text);
    return one;
  }
}

/** A UUID or `in:` several; from 1.32 with `!` before it. */
function aggregatesOf(texts: readonly string[], name: string, dialect: Dialect): Pick<Wish, 'memberOf' | 'notMemberOf'> {
  const memberOf: string[][] = [];
  const notMemberOf: string[] = [];
  if (texts.length > 1 && !dialect.has('repeated member_of')) throw new BadRequest(`Multiple ${name} parameters are not supported`);
  for (const text of texts) {
    const no = text.startsWith('!');
    if (text.includes(',') && !/^!?in:/.test(text)) throw new BadRequest(`Multiple values for 'member_of' must be prefixed with the 'in:' or '!in:' keyword using the valid microversion. Got: ${text}`);
    const rest = no ? text.slice(1) : text;
    const ids = rest.startsWith('in:') ? rest.slice(3).split(',') : [rest];
    for (const id of ids) if (!isUuidLike(id)) throw new BadRequest(`Invalid query string parameters: Expected 'member_of' parameter to contain valid UUID(s). Got: ${id}`);
    if (no && !dialect.has('forbidden aggregates')) throw new BadRequest(`Forbidden ${name} parameters are not supported in the specified microversion`);
    if (no) notMemberOf.push(...ids);
    else memberOf.push(ids);
  }
  return { memberOf, notMemberOf };
}

function inTreeOf(given: string | undefined): string | undefined {
  const text = given?.trim();
  if (text !== undefined && !isUuidLike(text)) throw new BadRequest(`Invalid query string parameters: Expected 'in_tree' parameter to be a format of uuid. Got: ${text}`);
  return text;
}

/** The root of the tree that somebody is in; undefined when there is no such provider. */
export const treeOf = (all: readonly Provider[], uuid: string | undefined): string | undefined => (uuid === undefined ? undefined : all.find(p => p.uuid === withDashes(uuid))?.root);

/** Whether a provider by itself has what is asked, trees apart. */
export const grants = (provider: Provider, wish: Wish): boolean => hasRoom(provider, wish.resources) && hasTraits(provider, wish) && isMember(provider, wish);
export const hasTraits = ({ traits }: Pick<Provider, 'traits'>, wish: Pick<Wish, 'required' | 'forbidden'>): boolean => wish.required.every(any => any.some(t => traits.includes(t))) && !wish.forbidden.some(t => traits.includes(t));
export const isMember = (provider: Provider, wish: Wish): boolean => wish.memberOf.every(any => any.some(a => provider.aggregates.includes(a))) && !wish.notMemberOf.some(a => provider.aggregates.includes(a));
