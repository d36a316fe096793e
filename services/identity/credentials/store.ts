import { createHash } from 'node:crypto';
import type { Trx } from '@cumulet/db';
import type { Identity } from '../identity.ts';

export interface CredentialRow { readonly id: string; readonly user_id: string; readonly project_id: string | null; readonly type: string; readonly blob: Buffer; readonly extra: Readonly<Record<string, unknown>> }

export const find = (trx: Trx, id: string): Promise<CredentialRow | undefined> => trx('credentials').where({ id }).first();

/** EC2 credentials are filed under the digest of their access key. */
export const idOfAccessKey = (access: string): string => createHash('sha256').update(access).digest('hex');

export const sealed = (identity: Identity, id: string, blob: string): Buffer => identity.sealer.seal(Buffer.from(blob, 'utf8'), `credentials/${id}`);
export const unsealed = (identity: Identity, row: { id: string; blob: Buffer }): string => identity.sealer.open(row.blob, `credentials/${row.id}`).toString('utf8');
