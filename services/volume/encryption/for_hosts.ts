import type { Runtime } from '@cumulet/service';
import { passphraseOf } from './keys.ts';

/** For hypervisors: what opens an encrypted volume, by the id of its key. Hosts ask when they need it; no row, task or connection ever holds it in clear. */
export const volumeKeysOf = (rt: Pick<Runtime, 'db' | 'sealer'>) => (keyId: string): Promise<string> => passphraseOf(rt.db, rt.sealer, keyId);
