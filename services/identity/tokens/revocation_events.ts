import type { Context } from '@cumulet/http';
import { microsZ, parseTime } from '@cumulet/wire';
import { badTimestamp } from '../faults.ts';
import type { Identity } from '../identity.ts';
import { links, queryText } from '../listing.ts';

interface Row { readonly audit_id: string | null; readonly audit_chain_id: string | null; readonly trust_id: string | null; readonly user_id: string | null; readonly project_id: string | null; readonly domain_id: string | null; readonly revoked_at: Date }

/** OS-REVOKE's list. Events that only have roles read again are not shown: they end no token. */
export async function revocationEvents(identity: Identity, ctx: Context): Promise<object> {
  const query = identity.db('revocations').where({ kind: 'revoked' }).orderBy('position');
  const text = queryText(ctx.query, 'since');
  if (text !== undefined) {
    const since = parseTime(text);
    if (!since) throw badTimestamp();
    query.where('revoked_at', '>=', since);
  }
  const rows: Row[] = await query;
  return {
    events: rows.map(r => ({
      ...Object.fromEntries(Object.entries({ user_id: r.user_id, project_id: r.project_id, domain_id: r.domain_id, audit_id: r.audit_id, audit_chain_id: r.audit_chain_id, 'OS-TRUST:trust_id': r.trust_id }).filter(([, v]) => v !== null)),
      issued_before: microsZ(r.revoked_at), revoked_at: microsZ(r.revoked_at),
    })),
    links: links(ctx),
  };
}
