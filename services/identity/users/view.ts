import type { Context } from '@cumulet/http';
import { micros, orNull } from '@cumulet/wire';
import type { Identity } from '../identity.ts';
import { self } from '../listing.ts';
import { isEnabled } from './compliance.ts';
import type { UserRow } from './store.ts';

export const userView = (identity: Identity, ctx: Context, u: UserRow) => ({
  ...u.extra, id: u.id, name: u.name, domain_id: u.domain_id, enabled: isEnabled(identity.settings.identity.compliance, u, identity.clock()),
  ...(u.default_project_id === null ? {} : { default_project_id: u.default_project_id }), password_expires_at: orNull(micros)(u.password_expires_at), options: u.options, links: self(ctx, `users/${u.id}`),
});
