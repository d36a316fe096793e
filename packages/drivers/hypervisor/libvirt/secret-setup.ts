import { DriverError } from '../../errors.ts';
import type { Connection, ServerSpec, VolumeDisk } from '../spec.ts';
import type { Context } from './context.ts';
import { iscsiSecretUsage, keyOf, luksSecretUsage } from './disk-xml.ts';
import { toXml, type Element } from './xml.ts';

/** The passwords and keys that the spec's volumes need, given to libvirt in memory only (`ephemeral`): they never reach a file of its own. */
export async function setSecrets(context: Context, spec: ServerSpec): Promise<void> {
  const volumes = [...(spec.root.kind === 'volume' ? [spec.root.volume] : []), ...(spec.volumes ?? [])];
  for (const volume of volumes) await setSecret(context, volume);
}

export async function setSecret(context: Context, volume: VolumeDisk): Promise<void> {
  const { connection } = volume;
  await setLuks(context, volume);
  if (connection.driver_volume_type === 'iscsi') return setIscsi(context, volume.volumeId, connection);
  if (connection.driver_volume_type === 'rbd') return setCeph(context, connection);
}

async function setLuks(context: Context, volume: VolumeDisk): Promise<void> {
  const key = keyOf(volume);
  if (key === undefined) return;
  const passphrase = context.options.volumeKey;
  if (passphrase === undefined) throw new DriverError('unsupported', 'This host cannot open encrypted volumes: it has no keys.');
  const xml = toXml({ secret: { '@ephemeral': 'yes', '@private': 'yes', uuid: key, usage: { '@type': 'volume', volume: luksSecretUsage(key) } } });
  await context.secrets.set(xml, Buffer.from(await passphrase(key)));
}

async function setIscsi(context: Context, volumeId: string, { data }: Extract<Connection, { driver_volume_type: 'iscsi' }>): Promise<void> {
  if (data.auth_username === undefined || data.auth_password === undefined) return;
  await context.secrets.remove('iscsi', iscsiSecretUsage(volumeId)); // libvirt would refuse a second one of this usage
  const xml = toXml({ secret: { '@ephemeral': 'yes', '@private': 'yes', usage: { '@type': 'iscsi', target: iscsiSecretUsage(volumeId) } } });
  await context.secrets.set(xml, Buffer.from(data.auth_password));
}

/** One for the whole host, shared by its volumes; set again each time, for the key may have changed. */
async function setCeph(context: Context, { data }: Extract<Connection, { driver_volume_type: 'rbd' }>): Promise<void> {
  if (data.secret_uuid === undefined || data.keyring === undefined) return;
  const usage = `cumulet client.${data.auth_username ?? 'admin'} ${data.secret_uuid}`;
  // the operator's own secret of this UUID stays as it is
  if ((await context.secrets.findByUuid(data.secret_uuid)) && !(await context.secrets.exists('ceph', usage))) return;
  const xml = toXml({ secret: { '@ephemeral': 'yes', '@private': 'yes', uuid: data.secret_uuid, usage: { '@type': 'ceph', name: usage } } });
  await context.secrets.set(xml, Buffer.from(data.keyring, 'base64'));
}

/** Of a disk as libvirt shows it: nothing else uses its key. */
export async function removeKey(context: Context, disk: Element | undefined): Promise<void> {
  const key = disk?.at('source', 'encryption', 'secret').attribute('uuid');
  if (key !== undefined) await context.secrets.remove('volume', luksSecretUsage(key));
}

export async function removeSecret(context: Context, volumeId: string): Promise<void> {
  await context.secrets.remove('iscsi', iscsiSecretUsage(volumeId));
}
