import type { Caller, Enforcer } from '@cumulet/auth';

/** The objects of the table belong to this project, domain and user. */
const owned = { project: 'p'.repeat(32), domain: 'd'.repeat(32), user: 'u'.repeat(32) };
const foreign = { project: 'q'.repeat(32), domain: 'e'.repeat(32), user: 'v'.repeat(32) };

const chain = ['reader', 'member', 'manager', 'admin'] as const;
export const roles = [...chain, 'service'] as const;
export type Role = (typeof roles)[number];
const implied = (role: Role): string[] => (role === 'service' ? ['service'] : chain.slice(0, chain.indexOf(role) + 1));

/** Columns: from where one asks. */
export const standpoints = {
  'own project, owner': { projectId: owned.project, projectDomainId: owned.domain, userId: owned.user, userDomainId: owned.domain },
  'own project': { projectId: owned.project, projectDomainId: owned.domain, userId: foreign.user, userDomainId: owned.domain },
  'other project': { projectId: foreign.project, projectDomainId: foreign.domain, userId: foreign.user, userDomainId: foreign.domain },
  'own domain': { domainId: owned.domain, userId: foreign.user, userDomainId: owned.domain },
  'other domain': { domainId: foreign.domain, userId: foreign.user, userDomainId: foreign.domain },
  system: { systemScope: 'all', userId: foreign.user, userDomainId: foreign.domain },
} as const satisfies Record<string, Partial<Caller>>;
export type Standpoint = keyof typeof standpoints;

export const callerAt = (at: Standpoint, role: Role): Caller => ({
  roles: implied(role), isAdminProject: true, methods: ['password'], auditIds: ['audit'], issuedAt: new Date(0), expiresAt: new Date(4e12), tokenHash: '', serviceRoles: [], ...standpoints[at],
});

/** An object with every name by which a rule of any service may ask for its owner. Private and not shared, in a domain, with a plain role. */
const person = { id: owned.user, domain_id: owned.domain };
const place = { id: owned.project, domain_id: owned.domain };
export const object: Readonly<Record<string, unknown>> = {
  project_id: owned.project, tenant_id: owned.project, owner: owned.project, user_id: owned.user, domain_id: owned.domain, visibility: 'private', shared: false, 'router:external': false, device_owner: 'compute:nova', target_project: owned.project, target_tenant: owned.project,
  ...Object.fromEntries(['network', 'security_group', 'ext_parent', 'port', 'router', 'subnet', 'subnetpool', 'address_scope'].flatMap(of => [[`${of}:project_id`, owned.project], [`${of}:tenant_id`, owned.project]])),
  target: {
    domain_id: owned.domain, user: person, project: place, domain: { id: owned.domain }, group: { domain_id: owned.domain }, role: { name: 'member', domain_id: null }, prior_role: { domain_id: null }, implied_role: { domain_id: null }, credential: { user_id: owned.user },
    token: { user_id: owned.user }, trust: { trustor_user_id: owned.user, trustee_user_id: foreign.user }, limit: { project_id: owned.project, domain_id: owned.domain, project: place, domain: { id: owned.domain } },
  },
};

/** The roles that a rule lets in from a standpoint: `member+` when everyone from member up, else the list; `-` when none. */
export function letIn(enforcer: Enforcer, rule: string, at: Standpoint): string {
  const in_ = roles.filter(role => enforcer.check(rule, callerAt(at, role), object));
  const lowest = chain.find(role => in_.includes(role));
  const upwards = lowest !== undefined && chain.slice(chain.indexOf(lowest)).every(role => in_.includes(role));
  const words = upwards ? [in_.includes('service') && lowest === 'reader' ? 'all' : lowest === 'admin' ? 'admin' : `${lowest}+`, ...(in_.includes('service') && lowest !== 'reader' ? ['service'] : [])] : in_;
  return words.length === 0 ? '-' : words.join(' ');
}
