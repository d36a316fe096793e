import { openReceipt, signReceipt } from '@cumulet/auth';
import { Reply } from '@cumulet/http';
import { microsZ, Unauthorized } from '@cumulet/wire';
import { findDomain } from '../projects/store.ts';
import type { Identity } from '../identity.ts';
import type { UserRow } from '../users/store.ts';
import { methods } from './methods.ts';

const receiptSeconds = 300;   // keystone: [receipt] expiration

/** The user's rules, as far as this cloud knows their methods: a rule of unknown methods alone locks nobody out. */
function rulesOf(user: UserRow): string[][] {
  if (user.options.multi_factor_auth_enabled === false) return [];
  return (user.options.multi_factor_auth_rules ?? []).map(rule => rule.filter(m => Object.hasOwn(methods, m))).filter(rule => rule.length > 0);
}

/** May someone in who has passed these methods? */
export function isEnough(user: UserRow, passed: readonly string[]): boolean {
  const rules = rulesOf(user);
  return rules.length === 0 || rules.some(rule => rule.every(m => passed.includes(m)));
}

/** The methods that an earlier step has proved, by its receipt. */
export async function methodsOfReceipt(identity: Identity, text: unknown, user: UserRow): Promise<readonly string[]> {
  if (typeof text !== 'string' || text === '') return [];
  const receipt = await openReceipt(identity.keys, text, identity.clock);
  if (!receipt || receipt.userId !== user.id) throw new Unauthorized();
  return receipt.methods;
}

/** The 401 that says: so far so good, now the rest. */
export async function askForMore(identity: Identity, user: UserRow, passed: readonly string[]): Promise<Reply> {
  const issuedAt = Math.floor(identity.clock() / 1000);
  const receipt = { userId: user.id, methods: passed, issuedAt, expiresAt: issuedAt + receiptSeconds };
  const domain = await findDomain(identity.db, user.domain_id);
  return new Reply(401, {
    receipt: {
      methods: passed, user: { id: user.id, name: user.name, domain: { id: user.domain_id, name: domain?.name } },
      expires_at: microsZ(new Date(receipt.expiresAt * 1000)), issued_at: microsZ(new Date(issuedAt * 1000)),
    },
    required_auth_methods: rulesOf(user),
  }, { 'openstack-auth-receipt': await signReceipt(identity.keys, receipt) });
}
