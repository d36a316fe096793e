import type { Trx } from '@cumulet/db';
import { endpointsOfProject, type EndpointRow, type ServiceRow } from './store.ts';

export interface CatalogEntry {
  readonly endpoints: readonly { readonly id: string; readonly interface: string; readonly region_id: string | null; readonly url: string; readonly region: string | null }[];
  readonly id: string;
  readonly type: string;
  readonly name: string;
}

/** The catalogue as one token sees it: enabled services and endpoints, filtered where the project has filters, addresses filled in. */
export async function catalogFor(trx: Trx, who: { readonly userId: string; readonly projectId?: string | undefined }): Promise<CatalogEntry[]> {
  const rows: (EndpointRow & { of: string; type: string; service_extra: ServiceRow['extra'] })[] = await trx('services as s').leftJoin('endpoints as e', q => { q.on('e.service_id', 's.id').andOnVal('e.enabled', true); }).where('s.enabled', true)
    .orderBy(['s.created_at', 's.id', 'e.interface', 'e.id']).select('e.*', { of: 's.id', type: 's.type', service_extra: 's.extra' });
  const only = who.projectId === undefined ? [] : await endpointsOfProject(trx, who.projectId);
  const entries: CatalogEntry[] = [];
  for (const [id, group] of Map.groupBy(rows, r => r.of)) {
    const endpoints = group.flatMap(e => {
      if (e.id === null || (only.length > 0 && !only.includes(e.id))) return [];
      const url = fill(e.url, { tenant_id: who.projectId, project_id: who.projectId, user_id: who.userId });
      return url === undefined ? [] : [{ id: e.id, interface: e.interface, region_id: e.region_id, url, region: e.region_id }];
    });
    if (only.length > 0 && endpoints.length === 0) continue;
    const [first] = group;
    entries.push({ endpoints, id, type: first?.type ?? '', name: String(first?.service_extra['name'] ?? '') });
  }
  return entries;
}

const placeholder = /[$%]\(([^)]*)\)s/g;
const known = ['tenant_id', 'project_id', 'user_id'];

/** `$(tenant_id)s` and `%(project_id)s` filled in; undefined when the token has no such thing, and the endpoint is then left out. */
function fill(url: string, values: Readonly<Record<string, string | undefined>>): string | undefined {
  let whole = true;
  const filled = url.replaceAll(placeholder, (_, name: string) => {
    const value = values[name];
    if (value === undefined) whole = false;
    return value ?? '';
  });
  return whole ? filled : undefined;
}

/** An address that could never be filled in is refused when it is made. */
export function isUsableUrl(url: string): boolean {
  const names = [...url.matchAll(placeholder)].map(m => m[1] as string);
  return names.every(n => known.includes(n)) && !/[$%]\(/.test(url.replaceAll(placeholder, ''));
}
