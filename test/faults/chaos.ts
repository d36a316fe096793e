import type { Port } from '../harness/cloud.ts';
import { eventually } from '../harness/processes.ts';
import type { FaultyCloud } from './cloud.ts';

export interface Dice { below(n: number): number; one<T>(of: readonly T[]): T }

/** The same numbers for the same seed (mulberry32), so that a run can be asked for again; time is not repeated with it. */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (n: number) => Math.floor(next() * n);
  return { below, one: (of) => of[below(of.length)] as never };
}

type Kind = 'server' | 'volume' | 'snapshot' | 'backup' | 'image';
interface Said { readonly what: string; readonly status: number; readonly said: string }

/** A user who asks for whatever comes to mind of what is theirs, in whatever state that is; most answers are refusals, and none may be a 500. */
export class Actor {
  readonly answers: Said[] = [];
  private readonly mine: Record<Kind, string[]> = { server: [], volume: [], snapshot: [], backup: [], image: [] };
  private readonly f: FaultyCloud;
  private readonly random: Dice;
  private readonly name: string;
  private made = 0;

  constructor(f: FaultyCloud, random: Dice, name: string) {
    this.f = f;
    this.random = random;
    this.name = name;
  }

  /** One thing; what it is about may be long gone. */
  async act(): Promise<void> {
    await this.random.one(this.ideas)();
    // The pace of users who look at what they did: most of what they act on is at rest.
    await new Promise((done) => { setTimeout(done, this.random.below(600)); });
  }

  /** Deletes all that this user has made of a kind, waiting as users do for what holds it. */
  async leave(kind: Kind): Promise<void> {
    await eventually(async () => {
      await this.f.settled(180_000);
      const left: string[] = [];
      for (const id of this.mine[kind]) {
        if (kind === 'server') await this.f.act(id, 'unlock');
        const { status } = await this.f.call(...this.at(kind, 'DELETE', id));
        if (status !== 404) left.push(id);
      }
      this.mine[kind] = left;
      return left.length === 0;
    }, 300_000, `the end of every ${kind} of ${this.name}`).catch(async (error: unknown) => {
      const answers = await Promise.all(this.mine[kind].map(async (id) => ({ now: await this.f.call(...this.at(kind, 'GET', id)), deletion: await this.f.call(...this.at(kind, 'DELETE', id)) })));
      throw new Error(`${String(error)}: ${JSON.stringify(answers, null, 1)}`, { cause: error });
    });
  }
  /** What others made for the project: snapshots of createImage, and root volumes that outlived their servers because of them, as upstream. */
  async adopt(): Promise<void> {
    for (const kind of ['snapshot', 'volume'] as const) this.mine[kind] = ((await this.f.call('volume', 'GET', `/v3/${this.f.project}/${kind}s`)).body[`${kind}s`] as { id: string }[]).map((one) => one.id);
  }

  private readonly ideas: readonly (() => Promise<void>)[] = [
    () => this.boot(), () => this.boot(), () => this.remove('server'), () => this.remove('server'),
    () => this.serverAction({ reboot: { type: this.random.one(['SOFT', 'HARD']) } }), () => this.serverAction({ 'os-stop': null }), () => this.serverAction({ 'os-start': null }),
    () => this.serverAction({ shelve: null }), () => this.serverAction({ unshelve: null }), () => this.serverAction({ rescue: {} }), () => this.serverAction({ unrescue: null }),
    () => this.serverAction({ resize: { flavorRef: this.random.one(['nano', 'micro', '1', '2']) } }), () => this.serverAction({ confirmResize: null }), () => this.serverAction({ revertResize: null }),
    () => this.serverAction({ rebuild: { imageRef: this.f.image } }), () => this.serverAction({ pause: null }), () => this.serverAction({ unpause: null }), () => this.serverAction({ suspend: null }), () => this.serverAction({ resume: null }),
    () => this.serverAction({ lock: null }), () => this.serverAction({ unlock: null }), () => this.snapshotServer(),
    () => this.plug(), () => this.plug(), () => this.unplug(), () => this.unplug(),
    () => this.makeVolume(), () => this.makeVolume(), () => this.remove('volume'), () => this.remove('volume'),
    () => this.volumeAction({ 'os-extend': { new_size: 2 } }), () => this.volumeAction({ 'os-migrate_volume': { host: null, force_host_copy: true } }, 'admin'),
    () => this.uploadVolume(), () => this.volumeAction({ revert: { snapshot_id: this.any('snapshot') } }),
    () => this.snapshot(), () => this.remove('snapshot'), () => this.backup(), () => this.backup(), () => this.restore(), () => this.remove('backup'),
    () => this.makeImage(), () => this.remove('image'),
  ];

  private any(kind: Kind): string {
    return this.mine[kind].length === 0 ? '00000000-0000-4000-8000-000000000000' : this.random.one(this.mine[kind]);
  }

  private at(kind: Kind, method: string, id: string): [Port, string, string] {
    const p = this.f.project;
    const paths: Record<Kind, [Port, string]> = {
      server: ['compute', `/v2.1/servers/${id}`], volume: ['volume', `/v3/${p}/volumes/${id}`], snapshot: ['volume', `/v3/${p}/snapshots/${id}`], backup: ['volume', `/v3/${p}/backups/${id}`], image: ['image', `/v2/images/${id}`],
    };
    const [service, path] = paths[kind];
    return [service, method, path];
  }

  private async ask(what: string, service: Port, method: string, path: string, body?: unknown, as?: 'demo' | 'admin') {
    const answer = await this.f.call(service, method, path, body, as);
    this.answers.push({ what, status: answer.status, said: answer.status >= 400 ? JSON.stringify(answer.body) : '' });
    return answer;
  }

  private async make(kind: Kind, service: Port, path: string, body: object): Promise<void> {
    if (this.mine[kind].length >= 6) return this.remove(kind);
    const answer = await this.ask(`make ${kind}`, service, 'POST', path, body);
    const id = kind === 'image' ? answer.body?.id : answer.body?.[kind]?.id;
    if (answer.status < 300) this.mine[kind].push(id as string);
  }
  private label = () => `${this.name}-${this.made++}`;

  private async remove(kind: Kind): Promise<void> {
    const id = this.any(kind);
    const { status } = await this.ask(`delete ${kind}`, ...this.at(kind, 'DELETE', id));
    if (status === 404) this.mine[kind] = this.mine[kind].filter((other) => other !== id);
  }

  private boot(): Promise<void> {
    const fromVolume = this.random.below(4) === 0;
    const root = fromVolume ? { uuid: this.f.image, source_type: 'image', destination_type: 'volume', volume_size: 1, boot_index: 0, delete_on_termination: true } : { uuid: this.f.image, source_type: 'image', destination_type: 'local', boot_index: 0, delete_on_termination: true };
    return this.make('server', 'compute', '/v2.1/servers', { server: { name: this.label(), flavorRef: 'nano', ...(fromVolume ? {} : { imageRef: this.f.image }), networks: [{ uuid: this.f.network }], block_device_mapping_v2: [root] } });
  }
  private async serverAction(action: object): Promise<void> {
    await this.ask(Object.keys(action)[0] as string, 'compute', 'POST', `/v2.1/servers/${this.any('server')}/action`, action);
  }
  private async snapshotServer(): Promise<void> {
    const { status, body } = await this.ask('createImage', 'compute', 'POST', `/v2.1/servers/${this.any('server')}/action`, { createImage: { name: this.label() } });
    if (status === 202) this.mine.image.push(body.image_id as string);
  }
  private async plug(): Promise<void> {
    await this.ask('attach volume', 'compute', 'POST', `/v2.1/servers/${this.any('server')}/os-volume_attachments`, { volumeAttachment: { volumeId: this.any('volume') } });
  }
  private async unplug(): Promise<void> {
    const server = this.any('server');
    const { status, body } = await this.ask('list attachments', 'compute', 'GET', `/v2.1/servers/${server}/os-volume_attachments`);
    const volume = status === 200 ? body.volumeAttachments.at(-1)?.volumeId as string | undefined : undefined;
    if (volume !== undefined) await this.ask('detach volume', 'compute', 'DELETE', `/v2.1/servers/${server}/os-volume_attachments/${volume}`);
  }
  private makeVolume(): Promise<void> {
    const source = this.random.one([{}, {}, { imageRef: this.f.image }, { snapshot_id: this.any('snapshot') }, { source_volid: this.any('volume') }, { backup_id: this.any('backup') }]);
    return this.make('volume', 'volume', `/v3/${this.f.project}/volumes`, { volume: { name: this.label(), size: 1, ...source } });
  }
  private async volumeAction(action: object, as: 'demo' | 'admin' = 'demo'): Promise<void> {
    let asked = action;
    const volume = this.any('volume');
    if ('os-migrate_volume' in action) {
      const { status, body } = await this.ask('show volume', 'volume', 'GET', `/v3/${this.f.project}/volumes/${volume}`, undefined, 'admin');
      const host = status === 200 ? body.volume['os-vol-host-attr:host'] as string | null : null;
      if (!host) return;
      asked = { 'os-migrate_volume': { host: host.replace(/@(one|two)#\w+$/, (_, name: string) => (name === 'one' ? '@two#two' : '@one#one')), force_host_copy: true } };
    }
    await this.ask(Object.keys(action)[0] as string, 'volume', 'POST', `/v3/${this.f.project}/volumes/${volume}/action`, asked, as);
  }
  private async uploadVolume(): Promise<void> {
    const { status, body } = await this.ask('upload to image', 'volume', 'POST', `/v3/${this.f.project}/volumes/${this.any('volume')}/action`, { 'os-volume_upload_image': { image_name: this.label(), disk_format: 'raw', container_format: 'bare', force: true } });
    if (status === 202) this.mine.image.push(body['os-volume_upload_image'].image_id as string);
  }
  private snapshot = () => this.make('snapshot', 'volume', `/v3/${this.f.project}/snapshots`, { snapshot: { volume_id: this.any('volume'), name: this.label(), force: true } });
  private backup = () => this.make('backup', 'volume', `/v3/${this.f.project}/backups`, { backup: { volume_id: this.any('volume'), name: this.label(), force: true, incremental: this.random.below(2) === 0 } });
  private async restore(): Promise<void> {
    const { status, body } = await this.ask('restore', 'volume', 'POST', `/v3/${this.f.project}/backups/${this.any('backup')}/restore`, { restore: this.random.below(2) === 0 ? {} : { volume_id: this.any('volume') } });
    const id = status === 202 ? body.restore.volume_id as string : undefined;
    if (id !== undefined && !this.mine.volume.includes(id)) this.mine.volume.push(id);
  }
  private async makeImage(): Promise<void> {
    await this.make('image', 'image', '/v2/images', { name: this.label(), disk_format: 'raw', container_format: 'bare' });
    const id = this.any('image');
    // Once: who loses the connection asks again, or not.
    const answer = await this.f.send('image', 'PUT', `/v2/images/${id}/file`, Buffer.alloc(1_000_000 + this.random.below(2_000_000), id)).catch(() => undefined);
    if (answer) this.answers.push({ what: 'upload image', status: answer.status === 503 ? 0 : answer.status, said: await answer.text().catch(() => '') });
  }
}
