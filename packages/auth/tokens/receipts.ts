import { CompactSign, compactVerify, decodeProtectedHeader, errors } from 'jose';
import { maxTokenLength } from './claims.ts';
import type { Clock, KeyRing } from './contract.ts';

/** Proof of the steps of a login that have been passed, for a user who must pass more. It opens nothing by itself. */
export interface Receipt {
  readonly userId: string;
  readonly methods: readonly string[];
  /** Whole seconds since 1970. */
  readonly issuedAt: number;
  readonly expiresAt: number;
}
const typ = 'receipt';   // a token has none, so that neither passes for the other

export const signReceipt = (keys: KeyRing, receipt: Receipt): Promise<string> => {
  const key = keys.current();
  return new CompactSign(Buffer.from(JSON.stringify(receipt))).setProtectedHeader({ alg: 'HS256', kid: key.id, typ }).sign(key.secret);
};

/** The receipt, when it is ours and not over. */
export async function openReceipt(keys: KeyRing, text: string, clock: Clock): Promise<Receipt | undefined> {
  if (text.length > maxTokenLength) return undefined;
  try {
    const header = decodeProtectedHeader(text);
    if (header.typ !== typ || header.kid === undefined) return undefined;
    if (!keys.byId(header.kid)) await keys.refresh();
    const key = keys.byId(header.kid);
    if (!key) return undefined;
    const { payload } = await compactVerify(text, key.secret, { algorithms: ['HS256'] });
    const receipt = JSON.parse(Buffer.from(payload).toString('utf8')) as Receipt;
    return typeof receipt.userId === 'string' && Array.isArray(receipt.methods) && clock() < receipt.expiresAt * 1000 ? receipt : undefined;
  } catch (error) {
    if (error instanceof errors.JOSEError || error instanceof TypeError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
