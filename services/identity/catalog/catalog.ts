import type { Db, Listener } from '@cumulet/db';
import { endpointsOfProject, type EndpointRow, type ServiceRow } from './store.ts';

export interface CatalogEntry {
  readonly endpoints: readonly { readonly id: string; readonly interface: string; readonly region_id: string | null; readonly url: string; readonly region: string | null }[];
  readonly id: string;
  readonly type: string;
  readonly name: string;
}

interface Entry { readonly id: string; readonly type: string; readonly name: string; readonly endpoints: readonly EndpointRow[] }

/**
 * The catalogue, kept in memory because every login and validation shows it. Whoever changes it here says so; changes elsewhere are
 * heard as notices, and while those are cut off it is read each time.
 */
export class Catalog {
  readonly #db: Db;
  readonly #listener: Listener;
  #kept: Promise<{ entries: readonly Entry[]; filtered: ReadonlySet<string> }> | undefined;
  constructor(db: Db, listener: Listener) { this.#db = db; this.#listener = listener; }

  async start(): Promise<void> { const forget = () => this.forget(); await this.#listener.listen('cumulet_catalog', forget, forget); }
  /** The next who asks reads it anew. */
  forget(): void { this.#kept = undefined; }

  /** As one token sees it: enabled services and endpoints, filtered where the project has filters, addresses filled in. */
  async for(who: { readonly userId: string; readonly projectId?: string | undefined }): Promise<CatalogEntry[]> {
    if (!this.#listener.connected) this.forget();
    this.#kept ??= this.#read();
    const reading = this.#kept;
    const { entries, filtered } = await reading.catch((error: unknown) => { if (this.#kept === reading) this.forget(); throw error; });
    const only = who.projectId !== undefined && filtered.has(who.projectId) ? await endpointsOfProject(this.#db, who.projectId) : [];
    const values = { tenant_id: who.projectId, project_id: who.projectId, user_id: who.userId };
    return entries.flatMap(({ id, type, name, endpoints }) => {
      const shown = endpoints.flatMap(e => {
        if (only.length > 0 && !only.includes(e.id)) return [];
        const url = fill(e.url, values);
        return url === undefined ? [] : [{ id: e.id, interface: e.interface, region_id: e.region_id, url, region: e.region_id }];
      });
      return only.length > 0 && shown.length === 0 ? [] : [{ endpoints: shown, id, type, name }];
    });
  }

  async #read(): Promise<{ entries: readonly Entry[]; filtered: ReadonlySet<string> }> {
    const services: ServiceRow[] = await this.#db('services').where({ enabled: true }).orderBy(['created_at', 'id']);
    const endpoints: EndpointRow[] = await this.#db('endpoints').where({ enabled: true }).orderBy(['interface', 'id']);
    const projects: { rows: { project_id: string }[] } = await this.#db.raw('select project_id from project_endpoints union select project_id from project_endpoint_groups');
    const byService = Map.groupBy(endpoints, e => e.service_id);
    return { entries: services.map(s => ({ id: s.id, type: s.type, name: String(s.extra['name'] ?? ''), endpoints: byService.get(s.id) ?? [] })), filtered: new Set(projects.rows.map(r => r.project_id)) };
  }
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
