import { BadRequest, isUuidLike, type Dialect } from '@cumulet/wire';
import { hasRoom, STANDARD_CLASSES, type Amounts, type Provider, type ResourceClass } from './store.ts';

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
  inTree: treeOf(values(query, `in_tree${suffix}`).at(-1)),
});

/** A filter that this version does not know is an unknown parameter. */
export function refuseUnknown(query: Query, known: (name: string) => boolean): void {
  const unknown = Object.keys(query).filter(name => !known(name));
  if (unknown.length > 0) throw new BadRequest(`Invalid query string parameters: Additional properties are not allowed (${unknown.map(n => `'${n}'`).join(', ')} ${unknown.length === 1 ? 'was' : 'were'} unexpected)`);
}

/** `VCPU:1,MEMORY_MB:64` */
function resourcesOf(text: string | undefined): Amounts {
  if (text === undefined) return {};
  const amounts: Amounts = {};
  for (const part of text.split(',')) {
    const [name = '', amount = ''] = part.split(':');
    if (!/^\d{1,9}$/.test(amount) || name === '') throw new BadRequest(`Badly formed resources parameter. Expected resources query string parameter in form: ?resources=VCPU:2,MEMORY_MB:1024. Got: ${text}.`);
    if (Number(amount) < 1) throw new BadRequest(`Badly formed resources parameter. Expected resources query string parameter in form: ?resources=VCPU:2,MEMORY_MB:1024. Got: ${name}:${amount}.`);
    if (!STANDARD_CLASSES.includes(name)) throw new BadRequest(`Invalid resource class in resources parameter: No such resource class ${name}.`);
    amounts[name as ResourceClass] = Number(amount);
  }
  return amounts;
}

/** `A,!B`, and from 1.39 `in:C,D` */
function traitsOf(texts: readonly string[], name: string, dialect: Dialect): Pick<Wish, 'required' | 'forbidden'> {
  const required: string[][] = [];
  const forbidden: string[] = [];
  const bad = (text: string) => new BadRequest(`Invalid query string parameters: Expected '${name}' parameter value of the form: HW_CPU_X86_VMX,${dialect.has('forbidden traits') ? '!CUSTOM_MAGIC' : 'CUSTOM_MAGIC'}. Got: "${text}"`);
  for (const text of dialect.has('any of traits') ? texts : texts.slice(-1)) {
    if (dialect.has('any of traits') && text.startsWith('in:')) {
      required.push(text.slice(3).split(',').map(t => trait(t, text)));
      continue;
    }
    for (const part of text.split(',')) {
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
  if (texts.length > 1 && !dialect.has('repeated member_of')) throw new BadRequest('Multiple member_of parameters are not supported');
  for (const text of texts) {
    const no = text.startsWith('!') && dialect.has('forbidden aggregates');
    const rest = no ? text.slice(1) : text;
    const ids = rest.startsWith('in:') ? rest.slice(3).split(',') : [rest];
    for (const id of ids) if (!isUuidLike(id)) throw new BadRequest(`Invalid query string parameters: Expected '${name}' parameter to contain valid UUID(s). Got: ${text}`);
    if (no) notMemberOf.push(...ids);
    else memberOf.push(ids);
  }
  return { memberOf, notMemberOf };
}

function treeOf(text: string | undefined): string | undefined {
  if (text !== undefined && !isUuidLike(text)) throw new BadRequest(`Invalid query string parameters: Expected 'in_tree' parameter to be a format of uuid. Got: ${text}`);
  return text;
}

export function grants(provider: Provider, wish: Wish): boolean {
  return hasRoom(provider, wish.resources)
    && wish.required.every(any => any.some(t => provider.traits.includes(t))) && !wish.forbidden.some(t => provider.traits.includes(t))
    && wish.memberOf.every(any => any.some(a => provider.aggregates.includes(a))) && !wish.notMemberOf.some(a => provider.aggregates.includes(a))
    && (wish.inTree === undefined || wish.inTree === provider.uuid);
}
