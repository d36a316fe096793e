import type { Port } from '../../harness/cloud.ts';
import { eventually } from '../../harness/processes.ts';
import type { Answer, FaultyCloud } from '../cloud.ts';
import type { Dice } from './dice.ts';

const nobody = '00000000-0000-4000-8000-000000000000';

/** What users make, in an order in which it can be deleted: what holds something comes before what it holds. */
export const kinds = ['server', 'serverGroup', 'transfer', 'groupSnapshot', 'backup', 'snapshot', 'group', 'volume', 'image', 'floatingIp', 'router', 'network'] as const;
export type Kind = (typeof kinds)[number];

interface Place { readonly service: Port; readonly path: string; readonly member?: string }
const places = (project: string): Readonly<Record<Kind, Place>> => {
  const volume = (collection: string, member: string): Place => ({ service: 'volume', path: `/v3/${project}/${collection}`, member });
  return {
    server: { service: 'compute', path: '/v2.1/servers', member: 'server' }, serverGroup: { service: 'compute', path: '/v2.1/os-server-groups', member: 'server_group' },
    volume: volume('volumes', 'volume'), snapshot: volume('snapshots', 'snapshot'), backup: volume('backups', 'backup'), transfer: volume('volume-transfers', 'transfer'),
    group: volume('groups', 'group'), groupSnapshot: volume('group_snapshots', 'group_snapshot'), image: { service: 'image', path: '/v2/images' },
    network: { service: 'network', path: '/v2.0/networks', member: 'network' }, router: { service: 'network', path: '/v2.0/routers', member: 'router' }, floatingIp: { service: 'network', path: '/v2.0/floatingips', member: 'floatingip' },
  };
};

export type Idea = () => Promise<unknown>;
export interface Said { readonly what: string; readonly status: number; readonly said: string }

/** Somebody who asks for whatever comes to mind of what is theirs, in whatever state that is; most answers are refusals, and none may be a 500. */
export class User {
  readonly answers: Said[] = [];
  readonly f: FaultyCloud;
  readonly random: Dice;
  readonly name: string;
  readonly #mine: Record<Kind, string[]>;
  readonly #places: Readonly<Record<Kind, Place>>;
  #made = 0;

  constructor(f: FaultyCloud, random: Dice, name: string) {
    this.f = f;
    this.random = random;
    this.name = name;
    this.#mine = Object.fromEntries(kinds.map((kind) => [kind, []])) as unknown as Record<Kind, string[]>;
    this.#places = places(f.project);
  }

  /** One thing; what it is about may be long gone. */
  async act(ideas: readonly Idea[]): Promise<void> {
    await this.random.one(ideas)();
    // The pace of users who look at what they did: most of what they act on is at rest.
    await new Promise((done) => { setTimeout(done, this.random.below(600)); });
  }

  /** One of this user's, or an id of nothing. */
  any(kind: Kind): string { return this.#mine[kind].length === 0 ? nobody : this.random.one(this.#mine[kind]); }
  many(kind: Kind): boolean { return this.#mine[kind].length >= 6; }
  own(kind: Kind, id: unknown): void { if (typeof id === 'string' && !this.#mine[kind].includes(id)) this.#mine[kind].push(id); }
  label(): string { return `${this.name}-${this.#made++}`; }
  path(kind: Kind, id: string): string { return `${this.#places[kind].path}/${id}`; }

  async ask(what: string, service: Port, method: string, path: string, body?: unknown, as?: 'demo' | 'admin'): Promise<Answer> {
    const answer = await this.f.call(service, method, path, body, as);
    this.answers.push({ what, status: answer.status, said: answer.status >= 400 ? JSON.stringify(answer.body) : '' });
    return answer;
  }
  /** `POST …/ID/action`. */
  action(kind: Kind, id: string, body: object, as?: 'demo' | 'admin'): Promise<Answer> {
    return this.ask(Object.keys(body)[0] as string, this.#places[kind].service, 'POST', `${this.path(kind, id)}/action`, body, as);
  }

  /** A new one; whoever has many deletes one instead. */
  async make(kind: Kind, wish: object, options: { readonly as?: 'demo' | 'admin'; readonly at?: string } = {}): Promise<Answer | undefined> {
    const { service, path, member } = this.#places[kind];
    if (this.many(kind)) {
      await this.remove(kind);
      return undefined;
    }
    const answer = await this.ask(`make ${kind}`, service, 'POST', options.at ?? path, member === undefined ? wish : { [member]: wish }, options.as);
    if (answer.status < 300) this.own(kind, member === undefined ? answer.body.id : answer.body[member].id);
    return answer;
  }
  async remove(kind: Kind, id = this.any(kind), as?: 'demo' | 'admin'): Promise<number> {
    if (kind === 'router') await this.#unplugRouter(id, as);
    const { status } = kind === 'group'
      ? await this.ask('delete group', 'volume', 'POST', `${this.path(kind, id)}/action`, { delete: { 'delete-volumes': true } }, as)
      : await this.ask(`delete ${kind}`, this.#places[kind].service, 'DELETE', this.path(kind, id), undefined, as);
    if (status === 404) this.#mine[kind] = this.#mine[kind].filter((other) => other !== id);
    return status;
  }
  async #unplugRouter(router: string, as?: 'demo' | 'admin'): Promise<void> {
    const { status, body } = await this.ask('list ports', 'network', 'GET', `/v2.0/ports?device_id=${router}&device_owner=network:router_interface`, undefined, as);
    if (status === 200) for (const { id } of body.ports as { id: string }[]) await this.ask('remove interface', 'network', 'PUT', `/v2.0/routers/${router}/remove_router_interface`, { port_id: id }, as);
  }

  /** Deletes all that this user has of a kind, waiting as users do for what holds it. */
  async leave(kind: Kind): Promise<void> {
    await eventually(async () => {
      await this.f.settled(180_000);
      for (const id of this.#mine[kind]) {
        if (kind === 'server') await this.action('server', id, { unlock: null });
        await this.remove(kind, id, 'admin');
      }
      return this.#mine[kind].length === 0;
    }, 300_000, `the end of every ${kind} of ${this.name}`).catch(async (error: unknown) => {
      const answers = await Promise.all(this.#mine[kind].map(async (id) => ({ now: await this.f.call(this.#places[kind].service, 'GET', this.path(kind, id), undefined, 'admin'), deletion: await this.remove(kind, id, 'admin'), said: this.answers.at(-1) })));
      throw new Error(`${String(error)}: ${JSON.stringify(answers, null, 1)}`, { cause: error });
    });
  }
  /** What others made: snapshots of createImage and root volumes that outlived their servers because of them, as upstream; groups made of groups; volumes that went to another project. */
  async adopt(): Promise<void> {
    for (const kind of ['transfer', 'groupSnapshot', 'group', 'snapshot', 'volume', 'backup'] as const) {
      const { path } = this.#places[kind];
      for (const one of Object.values((await this.f.call('volume', 'GET', `${path}?all_tenants=1`, undefined, 'admin')).body as object).flat() as { id?: string }[]) this.own(kind, one.id);
    }
  }
}
