/** nova, glance, neutron and keystone responses: `2026-11-21T12:00:00Z`. */
export const seconds = (at: Date): string => `${at.toISOString().slice(0, 19)}Z`;
/** cinder responses and nova's newer ones: `2026-11-21T12:00:00.123000`, UTC without a zone. */
export const micros = (at: Date): string => `${at.toISOString().slice(0, 23)}000`;
/** keystone token times: `2026-11-21T12:00:00.123000Z`. */
export const microsZ = (at: Date): string => `${micros(at)}Z`;
export const orNull = (format: (at: Date) => string) => (at: Date | null | undefined): string | null => (at ? format(at) : null);

const iso = /^(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?)(Z|[+-]\d{2}:?\d{2})?)?$/;
/** Reads the ISO 8601 forms that clients send (`changes-since`, `expires_at`); undefined when it is none. No zone means UTC. */
export function parseTime(text: string): Date | undefined {
  const m = iso.exec(text.trim());
  if (!m) return undefined;
  const zone = m[3] === undefined || m[3] === 'Z' ? 'Z' : m[3].replace(/^([+-]\d{2}):?(\d{2})$/, '$1:$2');
  const clock = m[2] === undefined ? '00:00:00' : m[2].length === 5 ? `${m[2]}:00` : m[2].slice(0, 12);
  const at = new Date(`${m[1]}T${clock}${zone}`);
  return Number.isNaN(at.getTime()) ? undefined : at;
}
