import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';

export interface Qos { readonly consumer: 'front-end' | 'back-end' | 'both'; readonly specs: Readonly<Record<string, string>> }

/** The limits that a type brings to its volumes. */
export async function qosOfType(trx: Trx, typeId: string): Promise<Qos | undefined> {
  return isUuid(typeId) ? trx('volume_types as t').join('volume_qos_specs as q', 'q.id', 't.qos_specs_id').where('t.id', typeId).select('q.consumer', 'q.specs').first() : undefined;
}
/** Limits that only the backend would keep: one that cannot is no place for the volume. What is for `both` the hypervisor keeps in any case. */
export async function backendQos(trx: Trx, typeId: string): Promise<boolean> {
  const qos = await qosOfType(trx, typeId);
  return qos !== undefined && qos.consumer === 'back-end' && Object.keys(qos.specs).length > 0;
}
/** What a driver is to keep; undefined when that is nothing. */
export async function specsForBackend(trx: Trx, typeId: string): Promise<Qos['specs'] | undefined> {
  const qos = await qosOfType(trx, typeId);
  return qos !== undefined && qos.consumer !== 'front-end' && Object.keys(qos.specs).length > 0 ? qos.specs : undefined;
}
