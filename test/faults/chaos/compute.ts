import type { Idea, User } from './user.ts';

const flavors = ['nano', 'micro', '1', '2'];

/** What comes to mind about servers. */
export function computeIdeas(user: User): readonly Idea[] {
  const { f, random } = user;
  const act = (action: object, as?: 'demo' | 'admin'): Idea => () => user.action('server', user.any('server'), action, as);
  const server = () => user.path('server', user.any('server'));

  const boot = () => {
    const fromVolume = random.below(4) === 0;
    const root = { uuid: f.image, source_type: 'image', boot_index: 0, delete_on_termination: true, ...(fromVolume ? { destination_type: 'volume', volume_size: 1 } : { destination_type: 'local' }) };
    const group = random.below(4) === 0 ? { 'os:scheduler_hints': { group: user.any('serverGroup') } } : {};
    const network = random.below(6) === 0 ? user.any('network') : f.network;
    return user.ask('make server', 'compute', 'POST', '/v2.1/servers', {
      server: { name: user.label(), flavorRef: 'nano', ...(fromVolume ? {} : { imageRef: f.image }), networks: [{ uuid: network }], block_device_mapping_v2: [root] }, ...group,
    }).then(({ status, body }) => { if (status === 202) user.own('server', body.server.id); });
  };
  /** Few at once: those who have many delete one. */
  const maybeBoot = () => user.many('server') ? user.remove('server') : boot();
  const picture = async (action: 'createImage' | 'createBackup') => {
    const name = user.label();
    const { status, body } = await user.action('server', user.any('server'), { [action]: action === 'createImage' ? { name } : { name: `${user.name}-kept`, backup_type: 'daily', rotation: 1 } });
    if (status === 202) user.own('image', body.image_id);
  };
  const plug = () => user.ask('attach volume', 'compute', 'POST', `${server()}/os-volume_attachments`, { volumeAttachment: { volumeId: user.any('volume') } });
  /** The last volume that a server of ours has. */
  const plugged = async (): Promise<string | undefined> => {
    const where = server();
    const { status, body } = await user.ask('list attachments', 'compute', 'GET', `${where}/os-volume_attachments`);
    const volume = status === 200 ? body.volumeAttachments.at(-1)?.volumeId as string | undefined : undefined;
    return volume === undefined ? undefined : `${where}/os-volume_attachments/${volume}`;
  };
  const unplug = async () => {
    const path = await plugged();
    if (path !== undefined) await user.ask('detach volume', 'compute', 'DELETE', path);
  };
  const swap = async () => {
    const path = await plugged();
    if (path !== undefined) await user.ask('swap volume', 'compute', 'PUT', path, { volumeAttachment: { volumeId: user.any('volume') } }, 'admin');
  };
  const plugNetwork = () => user.ask('attach interface', 'compute', 'POST', `${server()}/os-interface`, { interfaceAttachment: { net_id: random.one([f.network, user.any('network')]) } });
  const unplugNetwork = async () => {
    const where = server();
    const { status, body } = await user.ask('list interfaces', 'compute', 'GET', `${where}/os-interface`);
    const port = status === 200 ? body.interfaceAttachments.at(-1)?.port_id as string | undefined : undefined;
    if (port !== undefined) await user.ask('detach interface', 'compute', 'DELETE', `${where}/os-interface/${port}`);
  };
  return [
    maybeBoot, maybeBoot, maybeBoot, () => user.remove('server'), () => user.remove('server'),
    () => act({ reboot: { type: random.one(['SOFT', 'HARD']) } })(), act({ 'os-stop': null }), act({ 'os-start': null }), act({ shelve: null }), act({ unshelve: null }), act({ rescue: {} }), act({ unrescue: null }),
    () => act({ resize: { flavorRef: random.one(flavors) } })(), act({ confirmResize: null }), act({ revertResize: null }), act({ rebuild: { imageRef: f.image } }),
    act({ pause: null }), act({ unpause: null }), act({ suspend: null }), act({ resume: null }), act({ lock: null }), act({ unlock: null }),
    act({ shelveOffload: null }, 'admin'), act({ forceDelete: null }), act({ 'os-getConsoleOutput': { length: 5 } }),
    () => picture('createImage'), () => picture('createBackup'), plug, plug, unplug, unplug, swap, plugNetwork, unplugNetwork,
    () => user.ask('server metadata', 'compute', 'POST', `${server()}/metadata`, { metadata: { mood: user.label() } }),
    () => user.ask('server tag', 'compute', 'PUT', `${server()}/tags/${user.label()}`),
    () => user.ask('rename server', 'compute', 'PUT', server(), { server: { name: user.label() } }),
    () => user.make('serverGroup', { name: user.label(), policy: random.one(['affinity', 'soft-anti-affinity', 'anti-affinity']) }), () => user.remove('serverGroup'),
  ];
}
