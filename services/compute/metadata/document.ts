import type { Trx } from '@cumulet/db';
import type { Neighbours, PortFacts } from '../neighbours.ts';
import type { BlockDevice, ServerPort, ServerRow } from '../servers/row.ts';
import { devicesOf, portsOf } from '../servers/store.ts';

/** What a guest may read of itself, from the rows in one go. */
export interface MetadataDocument { readonly row: ServerRow; readonly ports: readonly PortFacts[]; readonly links: readonly ServerPort[]; readonly devices: readonly BlockDevice[] }

export async function documentOf(n: Pick<Neighbours, 'networks'>, trx: Trx, row: ServerRow): Promise<MetadataDocument> {
  const links = await portsOf(trx, row.id);
  const facts = await n.networks.ports(trx, links.map(l => l.port_id));
  return { row, links, ports: links.flatMap(l => facts.get(l.port_id) ?? []), devices: await devicesOf(trx, row.id) };
}
