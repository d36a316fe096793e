import { rotateKeys, Sealer } from '@cumulet/auth';
import { loadSettings } from '@cumulet/config';
import { connect, transaction } from '@cumulet/db';
import { retireAfterSeconds } from './housekeeping.ts';

// Turns the keys that sign tokens now, without waiting for their day: `node services/identity/rotate-keys.ts`.
const settings = loadSettings();
if (!settings.databaseUrl) throw new Error('DATABASE_URL is not set');
const db = connect({ url: settings.databaseUrl, pool: 1, name: 'cumulet rotate-keys' });
try {
  const sealer = await Sealer.fromFolder(settings.home);
  await transaction(db, trx => rotateKeys(trx, sealer, retireAfterSeconds(settings)));
  const keys: { id: string; state: string }[] = await db('token_keys').orderBy('created_at').select('id', 'state');
  for (const key of keys) console.log(`${key.id} ${key.state}`);
} finally { await db.destroy(); }
