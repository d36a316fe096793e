import type { Trx } from '@cumulet/db';
import { isUuid } from '@cumulet/wire';

export interface Qos { readonly consumer: 'front-end' | 'back-end' | 'both'; readonly specs: Readonly<Record<string, string>> }

/** The limits that a type brings to its volumes. */
export async function qosOfType(trx: Trx, typeId: string): Promise<Qos | undefined> {
  return isUuid(typeId) ? trx('volume_types as t').join('volume_qos_specs as q', 'q.id', 't.qos_specs_id').where('t.id', typeId).select('q.consumer', 'q.specs').first() : undefined;
}
const tunable = ['read_iops_sec', 'write_iops_sec', 'total_iops_sec', 'read_bytes_sec', 'write_bytes_sec', 'total_bytes_sec'];
/** What the hypervisor is to keep for a volume of this size. `X_per_gb` grows with it, at least `X_per_gb_min` and at most `X_max`, as upstream counts it. */
export async function specsForHypervisor(trx: Trx, typeId: string, sizeGiB: number): Promise<Record<string, string> | null> {
  const qos = await qosOfType(trx, typeId);
  if (qos === undefined || qos.consumer === 'back-end') return null;
  const specs = { ...qos.specs };
  const take = (key: string): number | undefined => { const value = specs[key] === undefined ? undefined : Math.trunc(Number(specs[key])); Reflect.deleteProperty(specs, key); return value === undefined || Number.isNaN(value) ? undefined : value; };
  for (const option of tunable) {
    const [each, least] = [take(`${option}_per_gb`), take(`${option}_per_gb_min`)];
    const most = each === undefined ? undefined : take(`${option}_max`);
    if (each !== undefined) { const wanted = Math.max(least ?? 0, each * sizeGiB); specs[option] = String(Math.min(wanted, most ?? wanted)); }
  }
  return specs;
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
