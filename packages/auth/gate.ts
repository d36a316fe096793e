import { accessRuleAllows } from './access_rules.ts';
import type { Caller } from './caller.ts';
import type { Enforcer } from './policy/enforcer.ts';
import type { TokenVerifier } from './tokens/verify.ts';

/** What a service's door asks: `@cumulet/http`'s Gate. `request` lets application credentials with access rules be held to them. */
export interface ServiceGate {
  authenticate(token: string, serviceToken: string | undefined, request?: { readonly method: string; readonly path: string }): Promise<Caller | undefined>;
  allows(rule: string, caller: Caller, target: Readonly<Record<string, unknown>>): boolean;
}

/** `services` are the types under which the service is in the catalogue (`['volumev3', 'block-storage']`): access rules name one of them. */
export const createGate = (verifier: TokenVerifier, enforcer: Enforcer, services: readonly string[]): ServiceGate => ({
  async authenticate(token, serviceToken, request) {
    const caller = await verifier.authenticate(token, serviceToken);
    if (!caller?.accessRules) return caller;
    return request && accessRuleAllows(caller.accessRules, { services, ...request }) ? caller : undefined;
  },
  allows: (rule, caller, target) => enforcer.check(rule, caller, target),
});
