import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** A request as an EC2 or S3 front end passes it on to have its signature checked. */
export interface SignedRequest {
  readonly verb?: string | undefined;
  readonly host?: string | undefined;
  readonly path?: string | undefined;
  readonly params?: Readonly<Record<string, string>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly body_hash?: string | undefined;
}

const hmac = (algorithm: 'sha1' | 'sha256', key: string | Uint8Array, text: string) => createHmac(algorithm, key).update(text).digest();
/** What AWS leaves as it is: letters, digits and -_.~ */
const quote = (text: string) => encodeURIComponent(text).replaceAll(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
const sorted = (params: Readonly<Record<string, string>>) => Object.entries(params).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));

/** The signature that the secret gives to a request; undefined when its kind is unknown. */
export function ec2Signature(secret: string, request: SignedRequest): string | undefined {
  const params = request.params ?? {};
  const authorization = header(request, 'authorization') ?? '';
  if (params['X-Amz-Algorithm'] !== undefined || authorization.startsWith('AWS4-HMAC-SHA256')) return signatureV4(secret, request, authorization);
  switch (params['SignatureVersion']) {
    case '0': return hmac('sha1', secret, `${params['Action'] ?? ''}${params['Timestamp'] ?? ''}`).toString('base64');
    case '1': return hmac('sha1', secret, Object.entries(params).toSorted(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1)).map(([k, v]) => `${k}${v}`).join('')).toString('base64');
    case '2': {
      const text = [request.verb ?? '', request.host ?? '', request.path ?? '', sorted(params).map(([k, v]) => `${quote(k)}=${quote(v)}`).join('&')].join('\n');
      return hmac(params['SignatureMethod'] === 'HmacSHA1' ? 'sha1' : 'sha256', secret, text).toString('base64');
    }
    default: return undefined;
  }
}
const header = (request: SignedRequest, name: string) => Object.entries(request.headers ?? {}).find(([key]) => key.toLowerCase() === name)?.[1];

function signatureV4(secret: string, request: SignedRequest, authorization: string): string | undefined {
  const params = { ...request.params };
  const credential = params['X-Amz-Credential'] ?? /Credential=([^,\s]+)/.exec(authorization)?.[1];
  const signedHeaders = params['X-Amz-SignedHeaders'] ?? /SignedHeaders=([^,\s]+)/.exec(authorization)?.[1];
  const date = header(request, 'x-amz-date') ?? params['X-Amz-Date'] ?? header(request, 'date');
  if (!credential || !signedHeaders || !date) return undefined;
  const scope = credential.split('/').slice(1);
  if (scope.length !== 4) return undefined;
  delete params['X-Amz-Signature'];
  // Parameters of a form body are signed by the body's hash, not by the query.
  const query = request.verb === 'POST' ? '' : sorted(params).map(([k, v]) => `${quote(k)}=${quote(v)}`).join('&');
  const headers = signedHeaders.split(';').map(name => `${name.toLowerCase()}:${(name.toLowerCase() === 'host' ? request.host : header(request, name.toLowerCase()))?.trim() ?? ''}\n`).join('');
  const canonical = [request.verb ?? '', request.path ?? '', query, headers, signedHeaders, request.body_hash ?? ''].join('\n');
  const text = ['AWS4-HMAC-SHA256', date, scope.join('/'), createHash('sha256').update(canonical).digest('hex')].join('\n');
  return hmac('sha256', signingKey(secret, scope as [string, string, string, string]), text).toString('hex');
}
const signingKey = (secret: string, [day, region, service, end]: readonly [string, string, string, string]) =>
  [day, region, service, end].reduce<string | Uint8Array>((key, part) => hmac('sha256', key, part), `AWS4${secret}`) as Uint8Array;

/** S3's way: the front end has made the text to sign itself; `token` is that text in base64url. */
export function s3Signature(secret: string, token: string): string | undefined {
  const text = Buffer.from(token, 'base64url').toString('utf8');
  if (!text.startsWith('AWS4')) return hmac('sha1', secret, text).toString('base64');
  const lines = text.split('\n');
  const scope = lines[2]?.split('/') ?? [];
  if (lines.length !== 4 || lines[0] !== 'AWS4-HMAC-SHA256' || scope.length !== 4 || scope[3] !== 'aws4_request' || !['s3', 'iam', 'sts'].includes(scope[2] as string)) return undefined;
  return hmac('sha256', signingKey(secret, scope as unknown as [string, string, string, string]), text).toString('hex');
}

export function sameSignature(given: unknown, computed: string | undefined): boolean {
  if (typeof given !== 'string' || computed === undefined) return false;
  const [a, b] = [Buffer.from(given), Buffer.from(computed)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** Without the port: some clients sign the bare host name. */
export const withoutPort = (request: SignedRequest): SignedRequest => ({ ...request, host: request.host?.replace(/:\d+$/, '') });
