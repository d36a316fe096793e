import { transaction, type Trx } from '@cumulet/db';
import { Forbidden, NotFound, own } from '@cumulet/wire';
import { absent } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { findDomain } from '../projects/store.ts';
import { defaults, sensitive } from './options.ts';

export type Config = Readonly<Record<string, Readonly<Record<string, unknown>>>>;
interface OptionRow { readonly domain_id: string; readonly group: string; readonly option: string; readonly value: unknown }

const refuse = (reason: string) => new Forbidden(`Invalid domain specific configuration: ${reason}.`);
const notThere = (domainId: string, group: string | undefined, option: string | undefined) =>
  new NotFound(`Could not find ${option !== undefined ? `option ${option} in group ${group}` : group !== undefined ? `group ${group}` : 'any options'} in domain configuration for domain ${domainId}.`);
const isSensitive = (group: string, option: string) => sensitive[group]?.includes(option) ?? false;

export function checkNames(group: string | undefined, option: string | undefined): void {
  if (group === undefined) return;
  if (defaults[group] === undefined) throw refuse(`Group ${group} is not supported for domain specific configurations`);
  if (option !== undefined && !Object.hasOwn(defaults[group], option) && !isSensitive(group, option)) throw refuse(`Option ${option} in group ${group} is not supported for domain specific configurations`);
}

/** A config as its options. Everything in it must be known. */
function optionsOf(config: unknown): { group: string; option: string; value: unknown }[] {
  if (typeof config !== 'object' || config === null || Object.keys(config).length === 0) throw refuse('No options specified');
  return Object.entries(config).flatMap(([group, options]) => {
    if (typeof options !== 'object' || options === null || Array.isArray(options) || Object.keys(options).length === 0) throw refuse(`The value of group ${group} specified in the config should be a dictionary of options`);
    return Object.entries(options as object).map(([option, value]: [string, unknown]) => { checkNames(group, option); return { group, option, value }; });
  });
}

/** What may be shown of a domain's config; with `option`, that one alone. */
export async function read(identity: Identity, domainId: string, group?: string, option?: string): Promise<unknown> {
  checkNames(group, option);
  const rows: OptionRow[] = await identity.db('domain_configs').where({ domain_id: domainId, ...(group === undefined ? {} : { group }), ...(option === undefined ? {} : { option }) }).orderBy(['group', 'option']);
  const shown = rows.filter(r => !isSensitive(r.group, r.option));
  if (shown.length === 0) throw notThere(domainId, group, option);
  if (option !== undefined) return { [option]: shown[0]?.value };
  return nested(shown);
}
const nested = (rows: readonly { group: string; option: string; value: unknown }[]): Config =>
  Object.fromEntries([...Map.groupBy(rows, r => r.group)].map(([group, of]) => [group, Object.fromEntries(of.map(r => [r.option, r.value]))]));

async function write(identity: Identity, trx: Trx, domainId: string, options: readonly { group: string; option: string; value: unknown }[]): Promise<void> {
  const rows = options.map(o => {
    const context = `domain_configs/${domainId}/${o.group}/${o.option}`;
    const value = isSensitive(o.group, o.option) ? identity.sealer.seal(Buffer.from(JSON.stringify(o.value)), context).toString('base64') : o.value;
    return { domain_id: domainId, group: o.group, option: o.option, value: JSON.stringify(value ?? null) };
  });
  await trx('domain_configs').insert(rows).onConflict(['domain_id', 'group', 'option']).merge(['value']);
}

/** Replaces the whole config; says whether there was one. */
export async function replace(identity: Identity, domainId: string, config: unknown): Promise<{ existed: boolean }> {
  const options = optionsOf(config);
  return transaction(identity.db, async trx => {
    const existed = await trx('domain_configs').where({ domain_id: domainId }).delete() > 0;
    await write(identity, trx, domainId, options);
    return { existed };
  });
}

/** Merges into the config. With a group (and option) the body holds that alone, and it must be there already. */
export async function merge(identity: Identity, domainId: string, body: unknown, group?: string, option?: string): Promise<void> {
  checkNames(group, option);
  const config = (group !== undefined && option !== undefined ? { [group]: body } : body) as Record<string, Record<string, unknown>>;
  const options = optionsOf(config);
  if (group !== undefined) {
    if (Object.keys(config).length !== 1 || (option !== undefined && options.length !== 1)) throw refuse(option !== undefined ? `Trying to update option ${option} in group ${group}, so that, and only that, option must be specified  in the config` : `Trying to update group ${group}, so that, and only that, group must be specified in the config`);
    if (config[group] === undefined) throw refuse(`request to update group ${group}, but config provided contains group ${Object.keys(config)[0]} instead`);
    if (option !== undefined && !Object.hasOwn(config[group], option)) throw refuse(`Trying to update option ${option} in group ${group}, but config provided contains option ${Object.keys(config[group])[0]} instead`);
  }
  await transaction(identity.db, async trx => {
    if (group !== undefined && !(await trx('domain_configs').where({ domain_id: domainId, group, ...(option === undefined ? {} : { option }) }).first('option'))) throw notThere(domainId, group, option);
    await write(identity, trx, domainId, options);
  });
}

export async function remove(identity: Identity, domainId: string, group?: string, option?: string): Promise<void> {
  checkNames(group, option);
  const gone = await identity.db('domain_configs').where({ domain_id: domainId, ...(group === undefined ? {} : { group }), ...(option === undefined ? {} : { option }) }).delete();
  if (gone === 0 && group !== undefined) throw notThere(domainId, group, option);
}

export function readDefaults(group?: string, option?: string): unknown {
  checkNames(group, option);
  if (group === undefined) return defaults;
  if (option === undefined) return { [group]: own(defaults, group) };
  if (isSensitive(group, option)) throw refuse(`Reading the default for option ${option} in group ${group} is not supported`);
  return { [option]: own(own(defaults, group) ?? {}, option) };
}

/** The two settings of password strength that everyone may know, so that clients can explain them. */
export function readCompliance(identity: Identity, domainId: string, option?: string): unknown {
  if (domainId !== 'default') throw refuse('Reading security compliance information for any domain other than the default domain is not allowed or supported.');
  const { passwordRegex, passwordRegexDescription } = identity.settings.identity.compliance;
  const shown: Record<string, unknown> = { password_regex: passwordRegex ?? null, password_regex_description: passwordRegexDescription ?? null };
  if (option === undefined) return { security_compliance: shown };
  if (!Object.hasOwn(shown, option)) throw refuse('Reading security compliance values other than password_regex and password_regex_description is not allowed.');
  return { [option]: shown[option] };
}

export async function mustBeDomain(identity: Identity, domainId: string): Promise<void> {
  if (!(await findDomain(identity.db, domainId))) throw absent('domain', domainId);
}
