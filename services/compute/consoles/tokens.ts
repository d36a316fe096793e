import type { Trx } from '@cumulet/db';
import { newId } from '@cumulet/wire';
import { createHash } from 'node:crypto';

export type ConsoleTarget = { readonly host: string; readonly port: number } | { readonly unixPath: string };
export interface ConsoleToken { readonly server_id: string; readonly host: string; readonly kind: string; readonly target: ConsoleTarget; /** `https://cloud.example:8774`: the one page that may use it. */ readonly origin: string }

/** Only this is kept of a key. */
export const digestOf = (token: string): string => createHash('sha256').update(token).digest('hex');
const alive = (trx: Trx, token: string) => trx('console_tokens').where({ digest: digestOf(token) }).where('expires_at', '>', trx.fn.now());

/** A key for one connection, until `expires`. */
export async function issueToken(trx: Trx, t: ConsoleToken, expires: Date): Promise<string> {
  const token = newId();
  await trx('console_tokens').where('expires_at', '<', trx.fn.now()).delete();
  await trx('console_tokens').insert({ ...t, target: JSON.stringify(t.target), digest: digestOf(token), expires_at: expires });
  return token;
}
/** What a key would open. It stays good. */
export const peekToken = (trx: Trx, token: string): Promise<ConsoleToken | undefined> => alive(trx, token).first('server_id', 'host', 'kind', 'target', 'origin') as never;
/** What a key opens; it is gone then. Of two who come at once, one gets it. */
export async function takeToken(trx: Trx, token: string): Promise<ConsoleToken | undefined> {
  const [row] = await alive(trx, token).delete().returning(['server_id', 'host', 'kind', 'target', 'origin']) as ConsoleToken[];
  return row;
}
