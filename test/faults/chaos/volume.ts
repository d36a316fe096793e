import type { FaultyCloud } from '../cloud.ts';
import type { Idea, User } from './user.ts';

/** Types that only an administrator can make. */
export interface VolumeTypes { readonly names: readonly string[]; readonly group: string }

export async function makeVolumeTypes(f: FaultyCloud): Promise<VolumeTypes> {
  const made = async (path: string, body: object, member: string): Promise<string> => {
    const answer = await f.call('volume', 'POST', `/v3/${f.project}/${path}`, body, 'admin');
    if (answer.status >= 300) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body[member].id as string;
  };
  const secret = await made('types', { volume_type: { name: 'secret' } }, 'volume_type');
  await made(`types/${secret}/encryption`, { encryption: { provider: 'luks', cipher: 'aes-xts-plain64', key_size: 256, control_location: 'front-end' } }, 'encryption');
  await made('types', { volume_type: { name: 'shared', extra_specs: { multiattach: '<is> True' } } }, 'volume_type');
  await made('types', { volume_type: { name: 'first', extra_specs: { volume_backend_name: 'one' } } }, 'volume_type');
  const group = await made('group_types', { group_type: { name: 'together' } }, 'group_type');
  const specs = await f.call('volume', 'POST', `/v3/${f.project}/group_types/${group}/group_specs`, { group_specs: { consistent_group_snapshot_enabled: '<is> True' } }, 'admin');
  if (specs.status >= 300) throw new Error(`group_specs: ${specs.status} ${JSON.stringify(specs.body)}`);
  return { names: ['secret', 'shared', 'first'], group };
}

/** What comes to mind about volumes and all that is made of them. */
export function volumeIdeas(user: User, types: VolumeTypes): readonly Idea[] {
  const { f, random } = user;
  const base = `/v3/${f.project}`;
  const act = (action: object, as?: 'demo' | 'admin'): Idea => () => user.action('volume', user.any('volume'), action, as);
  const pick = () => random.one([{}, {}, {}, { volume_type: random.one(types.names) }]);

  const make = () => {
    const source = random.one([{}, {}, { imageRef: f.image }, { imageRef: user.any('image') }, { snapshot_id: user.any('snapshot') }, { source_volid: user.any('volume') }, { backup_id: user.any('backup') }]);
    return user.make('volume', { name: user.label(), size: 1, ...source, ...pick(), ...(random.below(5) === 0 ? { group_id: user.any('group') } : {}) });
  };
  /** To the backend where it is not. */
  const migrate = async () => {
    const volume = user.any('volume');
    const { status, body } = await user.ask('show volume', 'volume', 'GET', user.path('volume', volume), undefined, 'admin');
    const host = status === 200 ? body.volume['os-vol-host-attr:host'] as string | null : null;
    if (host) await user.action('volume', volume, { 'os-migrate_volume': { host: host.replace(/@(one|two)#\w+$/, (_, name: string) => (name === 'one' ? '@two#two' : '@one#one')), force_host_copy: true } }, 'admin');
  };
  const upload = async () => {
    const { status, body } = await user.action('volume', user.any('volume'), { 'os-volume_upload_image': { image_name: user.label(), disk_format: random.one(['raw', 'qcow2']), container_format: 'bare', force: true } });
    if (status === 202) user.own('image', body['os-volume_upload_image'].image_id);
  };
  const restore = async () => {
    const { status, body } = await user.ask('restore', 'volume', 'POST', `${user.path('backup', user.any('backup'))}/restore`, { restore: random.below(2) === 0 ? {} : { volume_id: user.any('volume') } });
    if (status === 202) user.own('volume', body.restore.volume_id);
  };
  /** A record is read back under its own id, which is taken unless it was deleted meanwhile, or as another backup. */
  const carry = async () => {
    const { status, body } = await user.ask('export backup', 'volume', 'GET', `${user.path('backup', user.any('backup'))}/export_record`, undefined, 'admin');
    if (status !== 200) return;
    const { backup_service: service, backup_url: url } = body['backup-record'] as { backup_service: string; backup_url: string };
    const other = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(url, 'base64').toString()) as object, id: crypto.randomUUID() })).toString('base64');
    const read = await user.ask('import backup', 'volume', 'POST', `${base}/backups/import_record`, { 'backup-record': { backup_service: service, backup_url: random.one([url, other]) } }, 'admin');
    if (read.status === 201) user.own('backup', read.body.backup.id);
  };
  const give = async () => {
    const { body } = await user.make('transfer', { name: user.label(), volume_id: user.any('volume'), no_snapshots: random.below(2) === 0 }) ?? {};
    if (body?.transfer && random.below(2) === 0) await user.ask('accept transfer', 'volume', 'POST', `${user.path('transfer', body.transfer.id as string)}/accept`, { accept: { auth_key: body.transfer.auth_key } }, random.one(['demo', 'admin']));
  };
  const regroup = async () => {
    const { status, body } = await user.ask('show volume', 'volume', 'GET', user.path('volume', user.any('volume')));
    if (status !== 200) return;
    const { id, group_id: from } = body.volume as { id: string; group_id: string | null };
    await user.ask('update group', 'volume', 'PUT', user.path('group', from ?? user.any('group')), { group: { [from === null ? 'add_volumes' : 'remove_volumes']: id } });
  };
  const groupOf = () => user.make('group', { name: user.label(), ...random.one([{ group_snapshot_id: user.any('groupSnapshot') }, { source_group_id: user.any('group') }]) }, { at: `${base}/groups/action` });
  return [
    make, make, make, make, () => user.remove('volume'), () => user.remove('volume'), () => user.remove('volume'), act({ 'os-force_delete': {} }, 'admin'),
    act({ 'os-extend': { new_size: 2 } }), act({ 'os-extend': { new_size: 2 } }), migrate, migrate, upload, upload,
    () => act({ 'os-retype': { new_type: random.one(types.names), migration_policy: 'on-demand' } })(), () => act({ revert: { snapshot_id: user.any('snapshot') } })(), () => act({ 'os-reimage': { image_id: f.image } })(),
    () => act({ 'os-update_readonly_flag': { readonly: random.below(2) === 0 } })(), () => act({ 'os-set_bootable': { bootable: random.below(2) === 0 } })(),
    () => user.ask('volume metadata', 'volume', 'POST', `${user.path('volume', user.any('volume'))}/metadata`, { metadata: { mood: user.label() } }),
    () => user.ask('rename volume', 'volume', 'PUT', user.path('volume', user.any('volume')), { volume: { name: user.label() } }),
    () => user.make('snapshot', { volume_id: user.any('volume'), name: user.label(), force: true }), () => user.make('snapshot', { volume_id: user.any('volume'), name: user.label(), force: true }), () => user.remove('snapshot'),
    () => user.ask('snapshot metadata', 'volume', 'POST', `${user.path('snapshot', user.any('snapshot'))}/metadata`, { metadata: { mood: user.label() } }),
    ...Array.from({ length: 3 }, () => () => user.make('backup', { volume_id: user.any('volume'), name: user.label(), force: true, incremental: random.below(2) === 0 })), restore, carry, () => user.remove('backup'),
    give, give, () => user.remove('transfer'),
    () => user.make('group', { name: user.label(), group_type: types.group, volume_types: ['__DEFAULT__', ...types.names] }), regroup, regroup, () => user.remove('group'),
    () => user.make('groupSnapshot', { group_id: user.any('group'), name: user.label() }), () => user.make('groupSnapshot', { group_id: user.any('group'), name: user.label() }), () => user.remove('groupSnapshot'), groupOf,
  ];
}
