import type { Trx } from '@cumulet/db';
import type { Context } from '@cumulet/http';
import { BadRequest, Conflict, Fault, Forbidden } from '@cumulet/wire';
import type { Knex } from 'knex';
import type { Compute } from '../compute.ts';
import type { NetworkFacts, Who } from '../neighbours.ts';
import type { CreateBody } from './schemas.ts';

export interface AskedNic { network?: string; port?: string; fixedIp?: string; tag?: string }
type Asked = CreateBody['server']['networks'] | 'default' | undefined;

const as400 = (error: unknown): never => { throw error instanceof Fault && error.status === 404 ? new BadRequest(error.message) : error; };

/** On which networks the server will be. Nothing is made yet, but what cannot work is refused now. */
export async function nicsOf(c: Compute, ctx: Context, trx: Knex.Transaction, who: Who, asked: Asked, count: number): Promise<AskedNic[]> {
  if (asked === 'none') return [];
  if (asked === 'auto') {
    const mine = (await c.n.networks.available(trx, who)).filter(n => n.subnets > 0);
    if (mine.length > 1) throw new AmbiguousNetworks();
    return [{ network: mine[0]?.id ?? await c.n.networks.autoAllocate(trx, who) }];
  }
  if (asked === undefined || asked === 'default' || asked.length === 0) {
    const mine = await c.n.networks.available(trx, who);
    if (mine.length > 1) throw new AmbiguousNetworks();
    return mine[0] === undefined || mine[0].subnets === 0 ? [] : [{ network: mine[0].id }];
  }
  const found: AskedNic[] = [];
  for (const nic of asked) {
    const tag = nic.tag === undefined ? {} : { tag: nic.tag };
    if (nic.port) {
      if (nic.fixed_ip !== undefined) throw new BadRequest(`Specified Fixed IP '${nic.fixed_ip}' cannot be used with port '${nic.port}': the two cannot be specified together.`);
      if (count > 1) throw new BadRequest('Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.');
      if (found.some(f => f.port === nic.port)) throw new BadRequest(`Duplicate port ids (${nic.port}) were given.`);
      const port = await c.n.networks.port(trx, who, nic.port).catch((error: unknown) => { throw error instanceof Fault && error.status === 404 ? new BadRequest(`Port id ${nic.port} could not be found.`) : error; });
      if (port.device_id !== '') throw new Conflict(`Port ${nic.port} is still in use.`);
      if (port.fixed_ips.length === 0 && port.subnets.length > 0) throw new BadRequest(`Port ${nic.port} requires a FixedIP in order to be used.`);
      found.push({ port: nic.port, ...tag });
      continue;
    }
    if (!nic.uuid) throw new BadRequest('Bad networks format: network uuid is not in proper format (None)');
    if (nic.fixed_ip !== undefined && count > 1) throw new BadRequest('Invalid fixed IP Address: several servers cannot have the same fixed IP.');
    const network = await c.n.networks.network(trx, who, nic.uuid).catch(as400) as NetworkFacts;
    await usable(ctx, network);
    found.push({ network: network.id, ...(nic.fixed_ip === undefined ? {} : { fixedIp: nic.fixed_ip }), ...tag });
  }
  return found;
}
/** Nobody has said which of the project's networks is meant. */
export class AmbiguousNetworks extends Conflict {
  constructor() { super('Multiple possible networks found, use a Network ID to be more specific.'); }
}

/** Whether a server may be put there at all. */
export async function usable(ctx: Context, network: NetworkFacts): Promise<void> {
  if (network.external && !network.shared && !ctx.allows('network:attach_external_network', {})) throw new Forbidden(`It is not allowed to create an interface on external network ${network.id}`);
  if (network.subnets === 0) throw new BadRequest(`Network ${network.id} requires a subnet in order to boot instances on.`);
}

/** Ids of the security groups that new ports of the server get; none named means the project's default. */
export async function groupsOf(c: Compute, trx: Trx, who: Who, named: readonly { name?: string | undefined }[] | undefined): Promise<string[]> {
  const names = [...new Set((named ?? []).map(g => g.name ?? 'default'))];
  return names.length === 0 ? [] : c.n.networks.groups(trx, who, names).catch(as400) as Promise<string[]>;
}
