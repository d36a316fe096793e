/** One allowed request of an application credential, as keystone stores it. */
export interface AccessRule { readonly id?: string; readonly service: string; readonly method: string; readonly path: string }

/**
 * Who is asking, as the token says. Built once per token; shared between requests, so never changed.
 * Exactly one of `projectId`, `domainId`, `systemScope` is set, or none for an unscoped token.
 */
export interface Caller {
  readonly userId: string;
  readonly userDomainId: string;
  readonly projectId?: string;
  readonly projectDomainId?: string;
  readonly domainId?: string;
  readonly systemScope?: 'all';
  /** Names, implied roles included; domain-specific roles never appear, as in keystone. */
  readonly roles: readonly string[];
  /** True unless an operator made one project the admin project (oslo.context's default). */
  readonly isAdminProject: boolean;
  readonly methods: readonly string[];
  /** Own audit id first, then the id of the first token of the chain when this one was rescoped. */
  readonly auditIds: readonly [string, ...string[]];
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly trustId?: string;
  readonly trustorId?: string;
  readonly trusteeId?: string;
  readonly appCredId?: string;
  /** Set when the token came from a restricted application credential: no delegation by it (trusts, EC2, further ones). */
  readonly restricted?: boolean;
  readonly accessRules?: readonly AccessRule[];
  /** First 16 hex digits of the token's SHA-256: for logs, never the token itself. */
  readonly tokenHash: string;
  /** Of the X-Service-Token, when a service asks on the user's behalf. Empty otherwise. */
  readonly serviceRoles: readonly string[];
  readonly serviceUserId?: string;
  readonly serviceProjectId?: string;
}

/** The scope in the words of oslo.policy's scope_types. */
export type ScopeType = 'project' | 'domain' | 'system';
export function scopeOf(caller: Caller): ScopeType | 'unscoped' {
  if (caller.systemScope) return 'system';
  if (caller.domainId) return 'domain';
  return caller.projectId ? 'project' : 'unscoped';
}
