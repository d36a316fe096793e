import type { AccessRule } from './caller.ts';

const segment = (part: string): string => {
  if (part === '**') return '.*';
  if (part === '*' || /^\{[^}]*\}$/.test(part)) return '[^/]+';
  return part.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('**', '.*').replaceAll(/(?<!\.)\*/g, '[^/]*');
};

/**
 * Does a rule of the application credential allow this request? keystonemiddleware's reading: `*` and `{name}` stand for one
 * segment, `**` for any number of them, a rule for GET covers no other method, and the service is the type in the catalogue.
 */
export function accessRuleAllows(rules: readonly AccessRule[], request: { readonly services: readonly string[]; readonly method: string; readonly path: string }): boolean {
  const path = request.path.replace(/[?#].*$/s, '');
  return rules.some(rule => request.services.includes(rule.service) && rule.method.toUpperCase() === request.method.toUpperCase()
    && new RegExp(`^${rule.path.split('/').map(segment).join('/')}$`).test(path));
}
