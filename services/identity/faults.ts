import { BadRequest, Conflict, Forbidden, NotFound } from '@cumulet/wire';

/** The sentences of keystone's errors, so that each is worded once. */
const names = {
  user: 'user', group: 'group', domain: 'domain', project: 'project', role: 'role', region: 'region', service: 'service', endpoint: 'endpoint', policy: 'policy', credential: 'credential', trust: 'trust',
  'application credential': 'Application Credential', 'access rule': 'Access Rule', 'endpoint group': 'Endpoint Group', 'identity provider': 'Identity Provider', 'service provider': 'Service Provider', mapping: 'mapping',
} as const;
export const absent = (kind: keyof typeof names, id: string): NotFound => new NotFound(`Could not find ${names[kind]}: ${id}.`);

export const absentLimit = (kind: 'limit' | 'registered limit', id: string): NotFound => new NotFound(`Could not find ${kind} for ${id}.`);

/** A token that is shown or traded is not there: wrong, expired or revoked. */
export const absentToken = (): NotFound => new NotFound('Failed to validate token');

const malformed = 'The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.';
/** keystone's ValidationError: something that was to be there is not. */
export const expected = (attribute: string, target: string): BadRequest => new BadRequest(`Expecting to find ${attribute} in ${target}. ${malformed}`);
export const badTimestamp = (): BadRequest => new BadRequest(`Timestamp not in expected format. ${malformed}`);
export const expiredAlready = (): BadRequest => new BadRequest(`The 'expires_at' must not be before now. ${malformed}`);

/** A refusal that is not a policy rule's; upstream never prints the reason, we say what is safe to say. */
export const forbidden = (action?: string): Forbidden => new Forbidden(action === undefined ? 'You are not authorized to perform the requested action.' : `You are not authorized to perform the requested action: ${action}.`);

export const duplicate = (type: string, details: string): Conflict => new Conflict(`Conflict occurred attempting to store ${type} - ${details}.`);
export const duplicateName = (type: string, name: string, domainId?: string | null): Conflict =>
  duplicate(type, domainId ? `Duplicate entry found with name ${name} at domain ID ${domainId}` : `Duplicate entry found with name ${name}`);

/** Runs an insert or update; a row that the named unique index refuses becomes the given 409. */
export async function unlessDuplicate<T>(work: PromiseLike<T>, conflict: () => Error): Promise<T> {
  try { return await work; } catch (error) {
    if ((error as { code?: string }).code === '23505') throw conflict();
    throw error;
  }
}

/** An option `immutable` guards a resource until it is taken off, which is then all that an update may do. */
export function refuseImmutableUpdate(kind: 'project' | 'domain' | 'role', id: string, current: Readonly<Record<string, unknown>>, change: Readonly<Record<string, unknown>>): void {
  if (current['immutable'] !== true) return;
  const options = change['options'] as Readonly<Record<string, unknown>> | undefined;
  const lifts = options !== undefined && Object.hasOwn(options, 'immutable') && options['immutable'] !== true;
  if (!lifts || Object.keys(change).length > 1) throw new Forbidden(`Unable to update immutable ${kind} resource: \`${id}. Set resource option "immutable" to false first.`);
}
export function refuseImmutableDelete(kind: 'project' | 'domain' | 'role', id: string, options: Readonly<Record<string, unknown>>): void {
  if (options['immutable'] === true) throw new Forbidden(`Unable to delete immutable ${kind} resource: \`${id}. Set resource option "immutable" to false first.`);
}
