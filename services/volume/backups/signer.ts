import type { Settings } from '@cumulet/config';
import { DriverError } from '@cumulet/drivers';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify, type KeyObject } from 'node:crypto';
import { mkdir, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Who signed a record: this cloud, one that it trusts, somebody else, nobody (upstream never does). */
export type Origin = 'own' | 'trusted' | 'unknown' | 'unsigned';
type Record_ = Readonly<Record<string, unknown>>;

/**
 * Signs exported records (Ed25519) and looks at the signatures of imported ones. What is signed is where the data is and what it is: the chain's hashes, container,
 * prefix, size. Whose it is, its name and even its id may be changed on the way, as upstream's own tests do. The key is a file of the state folder and not a row:
 * records are for the day on which the database is lost.
 */
export interface Signer {
  /** SPKI, base64. */
  readonly publicKey: string;
  sign(record: Record_): Promise<Record_>;
  /** Throws `invalid` when a signature is wrong, or when one is wanted and missing. */
  check(record: Record_): Promise<Origin>;
}

const signed = ['container', 'service_metadata', 'size', 'object_count', 'parent_id'] as const;
interface Seal { readonly key: string; readonly signature: string }
interface Ours { readonly chain?: unknown; readonly seal?: Seal }
const oursOf = (record: Record_): Ours => {
  const info = record['driver_info'];
  const ours = typeof info === 'object' && info !== null ? (info as Record_)['cumulet'] : undefined;
  return typeof ours === 'object' && ours !== null ? ours as Ours : {};
};
/** Sorted keys: other tools write JSON in another order. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value === 'object' && value !== null) return `{${Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([k, v]) => `${JSON.stringify(k)}:${canonical(v)}`).join(',')}}`;
  return JSON.stringify(value ?? null);
}
const messageOf = (record: Record_): Buffer => createHash('sha256').update(canonical(['cumulet backup record 1', ...signed.map(key => record[key] ?? null), oursOf(record).chain ?? null])).digest();

async function keyOf(home: string): Promise<KeyObject> {
  const path = join(home, 'backup-signing.key');
  await mkdir(home, { recursive: true });
  try {
    const file = await open(path, 'wx', 0o600);
    const { privateKey } = generateKeyPairSync('ed25519');
    await file.writeFile(privateKey.export({ type: 'pkcs8', format: 'pem' })).finally(() => file.close());
  } catch (error) { if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error; }
  return createPrivateKey(await readFile(path, 'utf8'));
}

export async function openSigner(settings: Pick<Settings, 'home' | 'backup'>): Promise<Signer> {
  const key = await keyOf(settings.home);
  const publicKey = createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64');
  const { trustedKeys, requireSignedRecords } = settings.backup;
  const wrong = (why: string) => new DriverError('invalid', `The signature of the backup record is not valid: ${why}.`);
  return {
    publicKey,
    async sign(record) {
      const seal: Seal = { key: publicKey, signature: sign(null, messageOf(record), key).toString('base64') };
      return { ...record, driver_info: { ...record['driver_info'] as Record_, cumulet: { ...oursOf(record), seal } } };
    },
    async check(record) {
      const { seal } = oursOf(record);
      const origin: Origin = seal === undefined ? 'unsigned' : seal.key === publicKey ? 'own' : trustedKeys.includes(seal.key) ? 'trusted' : 'unknown';
      if (requireSignedRecords && origin !== 'own' && origin !== 'trusted') throw wrong('no trusted key has signed it');
      if (seal === undefined) return origin;
      let good = false;
      try { good = verify(null, messageOf(record), createPublicKey({ key: Buffer.from(String(seal.key), 'base64'), type: 'spki', format: 'der' }), Buffer.from(String(seal.signature), 'base64')); } catch { throw wrong('its key cannot be read'); }
      if (!good) throw wrong('the record was changed after it was signed');
      return origin;
    },
  };
}
