import { compare, explain, invalidInput, type Fault, type Micro } from '@cumulet/wire';
import type { z } from 'zod';

/** How one service words and shapes its errors. Everything else about an error is the same everywhere. */
export interface Dress {
  /** `version`: the microversion of the request, where it was read by then. */
  body(fault: Fault, requestId: string, version?: Micro): unknown;
  /** An unknown path is answered like any other error, not by the router in front. */
  readonly unroutedAsOthers?: boolean;
  /** For a service that answers errors in other media types too, by the Accept header: undefined means JSON. */
  page?(fault: Fault, accept: string): { readonly type: string; readonly text: string } | undefined;
  /** The 403 of a refused policy rule. */
  forbidden(rule: string): string;
  /** The 400 of a refused body or query. */
  invalid(error: z.ZodError, input: unknown, where: 'body' | 'query', shape: string): string;
  readonly malformedJson: string;
  readonly notRouted: string;
}

const novaKinds: Record<number, string> = {
  400: 'badRequest', 401: 'unauthorized', 403: 'forbidden', 404: 'itemNotFound', 405: 'badMethod', 409: 'conflictingRequest', 413: 'overLimit', 415: 'badMediaType', 429: 'overLimit', 501: 'notImplemented', 503: 'serviceUnavailable',
};
const phrases: Record<number, string> = {
  300: 'Multiple Choices', 400: 'Bad Request', 401: 'Unauthorized', 403: 'Forbidden', 404: 'Not Found', 405: 'Method Not Allowed', 406: 'Not Acceptable', 408: 'Request Timeout', 409: 'Conflict', 410: 'Gone', 411: 'Length Required', 412: 'Precondition Failed', 413: 'Request Entity Too Large',
  415: 'Unsupported Media Type', 416: 'Requested Range Not Satisfiable', 422: 'Unprocessable Entity', 429: 'Too Many Requests', 500: 'Internal Server Error', 501: 'Not Implemented', 503: 'Service Unavailable',
};
const phrase = (status: number) => phrases[status] ?? 'Error';

/** Errors that keystone's middleware gives in front of nova, cinder, neutron and placement. */
const middleware401 = (fault: Fault) => ({ error: { code: 401, title: 'Unauthorized', message: fault.message } });

/** nova and cinder: `{"conflictingRequest": {"code": 409, "message": …}}`. */
export const novaDress: Dress = {
  body: fault => (fault.status === 401 ? middleware401(fault) : { [novaKinds[fault.status] ?? 'computeFault']: { code: fault.status, message: fault.message, ...retry(fault) } }),
  forbidden: rule => `Policy doesn't allow ${rule} to be performed.`,
  invalid: invalidInput,
  malformedJson: 'Malformed request body',
  notRouted: 'The resource could not be found.',
};
const retry = (fault: Fault) => (fault.headers['retry-after'] === undefined ? {} : { retryAfter: fault.headers['retry-after'] });

/** glance: webob's own JSON of an HTTP error, line break and all. */
export const glanceDress: Dress = {
  body: fault => ({ message: `${fault.status === 401 ? webob401 : fault.message}<br /><br />\n\n\n`, code: `${fault.status} ${phrase(fault.status)}`, title: phrase(fault.status) }),
  page: (fault, accept) => webobPage(fault.status, fault.status === 401 ? webob401 : fault.message, accept),
  forbidden: rule => `You are not authorized to complete ${rule} action.`,
  invalid: (error, input, where, shape) => {
    const e = explain(error, input);
    return where === 'query' ? `Invalid query parameter ${e.field ?? ''}: ${e.reason}` : `Provided object does not match schema '${shape}': ${e.reason}${e.field === undefined ? '' : `\n\nOn instance['${e.field}']`}`;
  },
  malformedJson: 'Malformed JSON in request body.',
  notRouted: 'The resource could not be found.',
};
/**
 * webob answers in HTML to who takes it, in JSON to who takes that and no HTML, else in plain text. glanceclient reads only the first two of these right: a JSON body that
 * it has not asked for makes it crash.
 */
function webobPage(status: number, message: string, accept: string): { type: string; text: string } | undefined {
  const kinds = accept.split(',').map(k => k.split(';')[0]?.trim().toLowerCase());
  const line = `${status} ${phrase(status)}`;
  if (kinds.some(k => k === '*/*' || k === 'text/*' || k === 'text/html')) {
    const safe = message.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
    return { type: 'text/html; charset=UTF-8', text: `<html>\n <head>\n  <title>${line}</title>\n </head>\n <body>\n  <h1>${line}</h1>\n  ${safe}<br /><br />\n\n\n\n </body>\n</html>` };
  }
  return kinds.some(k => k === 'application/json' || k === 'application/*') ? undefined : { type: 'text/plain; charset=UTF-8', text: `${line}\n\n${message}\n\n\n` };
}
const webob401 = 'This server could not verify that you are authorized to access the document you requested. Either you supplied the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials required.';

/** keystone: `{"error": {"code", "message", "title"}}`. */
export const keystoneDress: Dress = {
  body: fault => (fault.status === 405 ? { message: fault.message } : { error: { code: fault.status, message: fault.message, title: phrase(fault.status), ...fault.extra } }),
  forbidden: rule => `You are not authorized to perform the requested action: ${rule}.`,
  invalid: (error, input) => { const e = explain(error, input); return `${e.reason}${e.field === undefined ? '' : `\n\nOn instance[${JSON.stringify(e.field)}]`}`; },
  malformedJson: 'Expecting to find valid JSON in request body. The server could not comply with the request since it is either malformed or otherwise incorrect. The client is assumed to be in error.',
  notRouted: 'The resource could not be found.',
};

function refusedByNeutron({ field, reason }: ReturnType<typeof explain>): string {
  const unknown = /^Additional properties are not allowed \((.*) w(?:as|ere) unexpected\)$/.exec(reason)?.[1];
  return unknown === undefined ? `Invalid input for ${field ?? 'body'}. Reason: ${reason}.` : `Unrecognized attribute(s) '${unknown.replaceAll("'", '')}'`;
}

/** neutron: `{"NeutronError": {"type", "message", "detail"}}`. */
export const neutronDress: Dress = {
  body: fault => (fault.status === 401 ? middleware401(fault) : { NeutronError: { type: fault.kind ?? `HTTP${phrase(fault.status).replaceAll(' ', '')}`, message: fault.message, detail: '' } }),
  forbidden: rule => `(rule:${rule}) is disallowed by policy`,
  invalid: (error, input, where) => (where === 'query' ? invalidInput(error, input, where) : refusedByNeutron(explain(error, input))),
  malformedJson: 'Malformed request body',
  notRouted: 'The resource could not be found.',
};

/** placement: `{"errors": [{"status", "title", "detail", "request_id"}]}`, and from 1.23 a `code` in each. */
export const placementDress: Dress = {
  body: (fault, requestId, version) => (fault.status === 401 ? middleware401(fault) : {
    errors: [{ status: fault.status, request_id: requestId, title: phrase(fault.status), detail: placementDetail(fault.status, fault.message), ...(version !== undefined && compare(version, '1.23') >= 0 ? { code: fault.kind ?? 'placement.undefined_code' } : {}), ...fault.extra }],
  }),
  unroutedAsOthers: true,
  forbidden: rule => `Policy does not allow ${rule} to be performed.`,
  invalid: (error, input) => `JSON does not validate: ${explain(error, input).reason}`,
  malformedJson: 'Malformed JSON',
  notRouted: 'The resource could not be found.',
};

/** What upstream's framework says of a status, before what there is to say of this answer. */
const explanations: Readonly<Record<number, string>> = {
  400: 'The server could not comply with the request since it is either malformed or otherwise incorrect.', 403: 'Access was denied to this resource.', 404: placementDress.notRouted, 409: 'There was a conflict when trying to complete your request.',
};
/** The last line is what osc-placement shows its user. */
function placementDetail(status: number, message: string): string {
  const explanation = explanations[status];
  return explanation === undefined || message === explanation ? `${message}\n\n   ` : `${explanation}\n\n ${message.replaceAll('\n', ' ')}  `;
}
