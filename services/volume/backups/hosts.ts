import type { Settings } from '@cumulet/config';
import type { Trx } from '@cumulet/db';
import { Unavailable } from '@cumulet/wire';

/** A target as a host's worker reports it. */
export interface TargetFacts {
  readonly name: string;
  /** Upstream's name of its driver. */
  readonly service: string;
  /** Every host sees the same objects. Else they are on that host only. */
  readonly shared: boolean;
  readonly forceDelete: boolean;
}
export interface BackupHost { readonly host: string; readonly zone: string; readonly targets: readonly TargetFacts[] }
type Of = Pick<Settings['volume'], 'serviceDownSeconds'>;

/** Upstream's answer where no cinder-backup is up. */
export const noBackupService = () => new Unavailable('Service cinder-backup could not be found.');

/** The hosts whose cinder-backup is enabled and up; in a zone when one is named. */
export async function backupHosts(trx: Trx, settings: Of, zone?: string | null): Promise<BackupHost[]> {
  const rows: { host: string; availability_zone: string; capabilities: { targets?: TargetFacts[] } }[] = await trx('volume_services').where({ binary_name: 'cinder-backup', disabled: false })
    .whereRaw('seen_at > now() - make_interval(secs => ?)', [settings.serviceDownSeconds]).modify(q => { if (zone) q.where('availability_zone', zone); }).orderBy('host').select('host', 'availability_zone', 'capabilities');
  return rows.map(r => ({ host: r.host, zone: r.availability_zone, targets: r.capabilities.targets ?? [] }));
}

/** Who can read what a backup left: its own host, or for a shared target anyone who has it. 503 when nobody can. */
export async function hostOfBackup(trx: Trx, settings: Of, row: { readonly host: string | null; readonly target: string | null }): Promise<string> {
  const hosts = await backupHosts(trx, settings);
  const has = (h: BackupHost) => row.target === null || h.targets.some(t => t.name === row.target);
  const own = hosts.find(h => h.host === row.host);
  if (own && has(own)) return own.host;
  const other = hosts.find(h => (row.target === null ? row.host === null : h.targets.some(t => t.name === row.target && t.shared)));
  if (!other) throw noBackupService();
  return other.host;
}
