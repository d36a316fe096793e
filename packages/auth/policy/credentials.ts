import type { Caller } from '../caller.ts';

/** What checks see of a caller: oslo.context's names, the old ones (`tenant`, `user`) too, and keystone's `token.…` paths. */
export type PolicyCredentials = Readonly<Record<string, unknown>>;

const made = new WeakMap<Caller, PolicyCredentials>();

/** Only the token is read here, never a request (CVE-2026-42999). Kept per caller, since one request asks many rules. */
export function credentialsOf(caller: Caller): PolicyCredentials {
  let credentials = made.get(caller);
  if (!credentials) {
    const project = caller.projectId;
    credentials = {
      user_id: caller.userId, user: caller.userId, user_domain_id: caller.userDomainId, user_domain: caller.userDomainId,
      project_id: project ?? null, tenant_id: project ?? null, project: project ?? null, tenant: project ?? null,
      project_domain_id: caller.projectDomainId ?? null, project_domain: caller.projectDomainId ?? null,
      domain_id: caller.domainId ?? null, domain: caller.domainId ?? null, system_scope: caller.systemScope ?? null,
      roles: caller.roles, is_admin_project: caller.isAdminProject,
      service_user_id: caller.serviceUserId ?? null, service_project_id: caller.serviceProjectId ?? null, service_roles: caller.serviceRoles,
      trust_id: caller.trustId ?? null, trustor_id: caller.trustorId ?? null, trustee_id: caller.trusteeId ?? null,
      token: {
        user: { id: caller.userId, domain: { id: caller.userDomainId } },
        ...(project ? { project: { id: project, domain: { id: caller.projectDomainId } } } : {}),
        ...(caller.domainId ? { domain: { id: caller.domainId } } : {}),
        ...(caller.systemScope ? { system: { all: true } } : {}),
      },
    };
    made.set(caller, credentials);
  }
  return credentials;
}
