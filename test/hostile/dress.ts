const isObject = (v: unknown): v is Record<string, unknown> => typeof v === 'object' && v !== null && !Array.isArray(v);
/** A path that no router has, in front of every service: webob's words. Keystone's middleware words a 401 for four of them. */
const unrouted = (b: unknown, status: number) => status === 404 && isObject(b) && b['title'] === 'Not Found' && b['code'] === '404 Not Found';
const unauthorized = (b: unknown, status: number) => status === 401 && isObject(b) && isObject(b['error']) && b['error']['code'] === 401;
const only = (b: unknown): unknown => (isObject(b) && Object.keys(b).length === 1 ? Object.values(b)[0] : undefined);

/** Whether a refusal is in a service's own form. */
export const refusals = {
  compute: (b: unknown, status: number): boolean => unrouted(b, status) || unauthorized(b, status) || (isObject(only(b)) && (only(b) as { code?: unknown }).code === status && typeof (only(b) as { message?: unknown }).message === 'string'),
  image: (b: unknown, status: number): boolean => isObject(b) && typeof b['message'] === 'string' && String(b['code']).startsWith(`${status} `) && typeof b['title'] === 'string',
  identity: (b: unknown, status: number): boolean => unrouted(b, status) || (isObject(b) && (status === 405 ? typeof b['message'] === 'string' : isObject(b['error']) && b['error']['code'] === status && typeof b['error']['message'] === 'string' && typeof b['error']['title'] === 'string')),
  network: (b: unknown, status: number): boolean => unrouted(b, status) || unauthorized(b, status) || (isObject(b) && isObject(b['NeutronError']) && ['type', 'message', 'detail'].every(k => typeof (b['NeutronError'] as Record<string, unknown>)[k] === 'string')),
  placement: (b: unknown, status: number): boolean => unauthorized(b, status) || (isObject(b) && Array.isArray(b['errors']) && isObject(b['errors'][0]) && b['errors'][0]['status'] === status && typeof b['errors'][0]['detail'] === 'string'),
} as const;
