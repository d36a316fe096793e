import { BadRequest } from '@cumulet/wire';
import { effectiveRoles } from '../assignments/effective.ts';
import { expected } from '../faults.ts';
import type { Identity } from '../identity.ts';
import * as projects from '../projects/store.ts';
import type { ProjectRow } from '../projects/store.ts';
import { usableTrust } from '../trusts/service.ts';
import type { TrustRow } from '../trusts/store.ts';
import { domainOf, projectOf } from './lookup.ts';
import type { Proof } from './methods.ts';
import type { AuthBody } from './schemas.ts';

export type Scope = { readonly project: ProjectRow } | { readonly domain: ProjectRow } | { readonly system: true } | { readonly trust: TrustRow; readonly project: ProjectRow | undefined } | { readonly unscoped: true };

/** What a login asks to act on. An application credential acts on its own project, whatever is asked. */
export async function resolveScope(identity: Identity, asked: AuthBody['scope'], proof: Proof): Promise<Scope> {
  if (proof.appCred) return { project: await projectOf(identity, { id: proof.appCred.project_id }) };
  if (asked === undefined) return defaultScope(identity, proof);
  if (typeof asked === 'string') {
    if (asked === 'unscoped') return { unscoped: true };
    throw new BadRequest(`Invalid input for field 'scope': '${asked.slice(0, 64)}' is not a scope`);
  }
  const kinds = ['project', 'domain', 'unscoped', 'system', 'OS-TRUST:trust'].filter(kind => kind in asked);
  if (kinds.length !== 1) throw expected('system, project, domain, OS-TRUST:trust or unscoped', 'scope');
  if (asked.system) return { system: true };
  if ('unscoped' in asked) return { unscoped: true };
  if (asked.project) return { project: await projectOf(identity, asked.project) };
  if (asked.domain) return { domain: await domainOf(identity, asked.domain) };
  const id = asked['OS-TRUST:trust']?.id;
  if (!id) throw expected('trust_id', 'trust');
  const trust = await usableTrust(identity, id);
  return { trust, project: trust.project_id === null ? undefined : await projectOf(identity, { id: trust.project_id }) };
}

/** The user's default project, if the user may still use it; otherwise no scope. */
async function defaultScope(identity: Identity, { user }: Proof): Promise<Scope> {
  if (user.default_project_id === null) return { unscoped: true };
  const project = await projects.find(identity.db, user.default_project_id);
  if (!project?.enabled || project.domain_id === null) return { unscoped: true };
  const domain = await projects.findDomain(identity.db, project.domain_id);
  if (!domain?.enabled || (await effectiveRoles(identity.db, user.id, { project: project.id })).length === 0) return { unscoped: true };
  return { project };
}

