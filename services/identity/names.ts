import type { Trx } from '@cumulet/db';

/** For other services: does this project exist (and is it a project, not a domain)? */
export const projectExists = async (trx: Trx, id: string): Promise<boolean> => (await trx('projects').where({ id, is_domain: false }).first('id')) !== undefined;

/** For other services' views: names of projects and users by id; ids that are gone are left out. */
export async function namesOf(trx: Trx, of: 'projects' | 'users', ids: Iterable<string>): Promise<Map<string, string>> {
  const unique = [...new Set(ids)];
  const rows: { id: string; name: string }[] = unique.length === 0 ? [] : await trx(of).whereIn('id', unique).select('id', 'name');
  return new Map(rows.map(r => [r.id, r.name]));
}

/** For other services: where the catalogue has a service of a region; undefined when it has none. */
export async function endpointUrl(trx: Trx, o: { readonly type: string; readonly region: string; readonly interface: string }): Promise<string | undefined> {
  const row: { url: string } | undefined = await trx('endpoints as e').join('services as s', 's.id', 'e.service_id').where({ 's.type': o.type, 's.enabled': true, 'e.enabled': true, 'e.region_id': o.region, 'e.interface': o.interface }).first('e.url');
  return row?.url;
}
