import { DriverError } from '@cumulet/drivers';
import type { ConnectionInfo } from '@cumulet/drivers/block';
import { z } from 'zod';
import { call, driverOf, plan } from '../deps.ts';
import { volumeRef } from '../refs.ts';
import { specsForHypervisor } from '../types/qos.ts';
import { byId, type VolumeRow } from '../volumes/store.ts';
import { attachmentById } from './store.ts';

const connector = z.looseObject({ host: z.string() });
type Connector = { host: string };

/**
 * Makes a volume reachable for a host. Gives `{ connect: ConnectionInfo }`. The attachment's row keeps who connected and how; what a reply shows of it
 * goes through `publicConnection`. An attachment or volume that is gone or broken is `invalid`.
 */
export const connectPlan = plan('attachment.connect', z.object({ attachmentId: z.string(), connector }))
  .step('connect', async (t): Promise<ConnectionInfo> => {
    const attachment = await t.transaction(trx => attachmentById(trx, t.input.attachmentId));
    const volume = attachment && await t.transaction(trx => byId(trx, attachment.volume_id));
    if (!attachment || !volume) throw new DriverError('invalid', `Volume attachment ${t.input.attachmentId} could not be found.`);
    if (['error', 'error_deleting', 'deleting', 'creating'].includes(volume.status)) throw new DriverError('invalid', `Volume ${volume.id} is ${volume.status} and cannot be attached.`);
    await needKey(t, volume);
    const mode = attachment.mode === 'ro' || volume.admin_metadata['readonly'] === 'True' ? 'ro' : 'rw';
    return described(t, volume, await driverOf(t, volume.host).attach.connect(call(t), volumeRef(volume), t.input.connector as Connector, { mode }));
  }, { undo: async t => {
    const attachment = await t.transaction(trx => attachmentById(trx, t.input.attachmentId));
    const volume = attachment && await t.transaction(trx => byId(trx, attachment.volume_id));
    if (volume?.host) await disconnect(t, volume, t.input.connector as Connector, t.input.attachmentId);
  } })
  .settles(async (trx, how, t) => {
    if (how.state !== 'done') return;
    await trx('volume_attachments').where({ id: t.input.attachmentId }).whereIn('status', ['reserved', 'attaching', 'attached']).update({
      connector: JSON.stringify(t.input.connector), connection_info: JSON.stringify(t.out.connect), attached_host: t.input.connector.host, status: trx.raw(`case when status = 'reserved' then 'attaching' else status end`), updated_at: trx.fn.now(),
    });
  });

type Step = Parameters<typeof call>[0] & { transaction<T>(work: (trx: import('knex').Knex.Transaction) => Promise<T>): Promise<T> };
/** Without its key nobody could open it; volumes that older versions made have none, and were never encrypted. */
async function needKey(t: Pick<Step, 'transaction'>, volume: VolumeRow): Promise<void> {
  const { encryption_key_id: id } = volume;
  if (id !== null && !await t.transaction(trx => trx('volume_keys').where({ id }).first('id'))) throw new DriverError('invalid', `The encryption key ${id} of volume ${volume.id} could not be found.`);
}
/** What upstream adds to every driver's answer: the limits that the hypervisor is to keep, whether others may have it too, and whether it has to be opened. */
export async function described(t: Pick<Step, 'transaction'>, volume: VolumeRow, info: ConnectionInfo): Promise<ConnectionInfo> {
  const specs = await t.transaction(trx => specsForHypervisor(trx, volume.type_id, volume.size));
  return { ...info, data: { ...info.data, qos_specs: specs, ...(volume.multiattach ? { multiattach: true } : {}), ...(volume.encryption_key_id === null ? {} : { encrypted: true, encryption_key_id: volume.encryption_key_id }) } };
}
/** Takes the export away unless another attachment of the same volume on the same host needs it. */
async function disconnect(t: Step, volume: VolumeRow, who: Connector | undefined, attachmentId: string): Promise<void> {
  const others = who === undefined ? [] : await t.transaction(trx => trx('volume_attachments').where({ volume_id: volume.id, attached_host: who.host }).whereNot({ id: attachmentId }).select('id'));
  if (others.length === 0) await driverOf(t, volume.host).attach.disconnect(call(t), volumeRef(volume), who);
}

/** Ends what `connectPlan` made; nothing connected, or nothing there, is success. `connector`: only that host's, which is no longer the attachment's own. */
export const disconnectPlan = plan('attachment.disconnect', z.object({ attachmentId: z.string(), connector: connector.optional() })).uncancellable()
  .step('disconnect', async t => {
    const attachment = await t.transaction(trx => attachmentById(trx, t.input.attachmentId));
    const volume = attachment && await t.transaction(trx => byId(trx, attachment.volume_id));
    const whose = t.input.connector ?? attachment?.connector as unknown as Connector | null | undefined;
    if (!attachment || !whose || !volume?.host) return;
    await disconnect(t, volume, whose as Connector, attachment.id);
  })
  .settles(async (trx, how, t) => {
    if (how.state === 'done' && t.input.connector === undefined) await trx('volume_attachments').where({ id: t.input.attachmentId }).update({ connection_info: null, updated_at: trx.fn.now() });
  });

/** The legacy calls, which know no attachment: `initialize_connection` and `terminate_connection` (no connector: every host). */
export const initializePlan = plan('volume.initialize_connection', z.object({ volumeId: z.string(), connector: z.looseObject({}) }))
  .step('connect', async (t): Promise<ConnectionInfo> => {
    const volume = await t.transaction(trx => byId(trx, t.input.volumeId));
    if (!volume?.host) throw new DriverError('invalid', `Volume ${t.input.volumeId} has no backend.`);
    await needKey(t, volume);
    return described(t, volume, await driverOf(t, volume.host).attach.connect(call(t), volumeRef(volume), { host: '', ...t.input.connector }, { mode: volume.admin_metadata['readonly'] === 'True' ? 'ro' : 'rw' }));
  }, { undo: async t => {
    const volume = await t.transaction(trx => byId(trx, t.input.volumeId));
    const host = String(t.input.connector['host'] ?? '');
    if (volume?.host) await disconnect(t, volume, { host }, '00000000-0000-0000-0000-000000000000');
  } });
export const terminatePlan = plan('volume.terminate_connection', z.object({ volumeId: z.string(), connector: z.looseObject({}).nullable() })).uncancellable()
  .step('disconnect', async t => {
    const volume = await t.transaction(trx => byId(trx, t.input.volumeId));
    if (volume?.host) await driverOf(t, volume.host).attach.disconnect(call(t), volumeRef(volume), t.input.connector === null ? undefined : { host: '', ...t.input.connector });
  });

const secret = /password|secret|keyring|auth_(?!method)|_key$|_key_id$|chap/i;
/** What users may see of a connection: no credentials, whatever the driver put in (OSSN-0085). Services that attach get all of it. */
export function publicConnection(info: ConnectionInfo, privileged: boolean): ConnectionInfo {
  if (privileged) return info;
  return { ...info, data: Object.fromEntries(Object.entries(info.data).filter(([key]) => !secret.test(key))) as ConnectionInfo['data'] };
}
