/** What extra specs and an image ask of a host by the names of placement. */
export interface Asks {
  /** Classes of resources and how much of each; of VCPU, MEMORY_MB and DISK_GB it takes the place of what the flavor says, and may be none. */
  readonly resources: Readonly<Record<string, number>>;
  readonly required: readonly string[];
  readonly forbidden: readonly string[];
  /** Whether several groups have to be met by different providers: no host is more than one. */
  readonly torn: boolean;
}

const resource = /^resources([a-zA-Z0-9_-]{1,64})?:([A-Z0-9_]{1,255})$/;
const trait = /^trait([a-zA-Z0-9_-]{1,64})?:([A-Z0-9_]{1,255})$/;

/**
 * `resources:CUSTOM_X=2`, `trait:CUSTOM_Y=required` and what they are in numbered groups, of a flavor; the traits of an image too (nova's scheduler utils). All of it is asked of the host itself:
 * what is below it or shared with it is not given to servers.
 */
export function asksOf(extraSpecs: Readonly<Record<string, string>>, image: Readonly<Record<string, string>> = {}): Asks {
  const resources: Record<string, number> = {};
  const groups = new Set<string>();
  for (const [key, value] of Object.entries(extraSpecs)) {
    const [, group = '', name] = resource.exec(key) ?? [];
    if (name === undefined || !/^\d{1,9}$/.test(value.trim())) continue;
    resources[name] = (resources[name] ?? 0) + Number(value);
    if (group !== '') groups.add(group);
  }
  const marked = (word: string) => [...Object.entries(extraSpecs), ...Object.entries(image)].flatMap(([key, value]) => { const name = trait.exec(key)?.[2]; return name !== undefined && value.trim() === word ? [name] : []; });
  return { resources, required: marked('required'), forbidden: marked('forbidden'), torn: extraSpecs['group_policy'] === 'isolate' && groups.size > 1 };
}

/** Without what a flavor says by itself. */
export const besides = ({ VCPU: _vcpu, MEMORY_MB: _memory, DISK_GB: _disk, ...rest }: Readonly<Record<string, number>>): Record<string, number> => Object.fromEntries(Object.entries(rest).filter(([, amount]) => amount > 0));
/** Whether anything is asked that only placement's rows can answer. */
export const asksMore = (asks: Asks): boolean => Object.keys(besides(asks.resources)).length > 0 || asks.required.length > 0 || asks.forbidden.length > 0 || asks.torn;
