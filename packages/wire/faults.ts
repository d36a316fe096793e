/**
 * What a request can end in besides success. Thrown where it is known; `http` dresses it once in each service's own shape.
 * `status` is the HTTP status; `kind` is a short machine name that a dress may print (`NetworkNotFound`); `headers` go out as they are.
 */
export class Fault extends Error {
  readonly status: number;
  readonly kind: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  /** Further members of the fault body, such as `retryAfter` of an overLimit. */
  readonly extra: Readonly<Record<string, unknown>>;
  constructor(status: number, message: string, options: { kind?: string; headers?: Record<string, string>; extra?: Record<string, unknown>; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.status = status;
    this.kind = options.kind;
    this.headers = options.headers ?? {};
    this.extra = options.extra ?? {};
  }
}
type Options = ConstructorParameters<typeof Fault>[2];

export class BadRequest extends Fault { constructor(message: string, options?: Options) { super(400, message, options); } }
export class Unauthorized extends Fault { constructor(message = 'The request you have made requires authentication.', options?: Options) { super(401, message, options); } }
export class Forbidden extends Fault { constructor(message: string, options?: Options) { super(403, message, options); } }
export class NotFound extends Fault { constructor(message = 'The resource could not be found.', options?: Options) { super(404, message, options); } }
export class MethodNotAllowed extends Fault { constructor(message = 'The method is not allowed for the requested URL.', options?: Options) { super(405, message, options); } }
export class NotAcceptable extends Fault { constructor(message: string, options?: Options) { super(406, message, options); } }
export class Conflict extends Fault { constructor(message: string, options?: Options) { super(409, message, options); } }
export class Gone extends Fault { constructor(message: string, options?: Options) { super(410, message, options); } }
export class TooLarge extends Fault { constructor(message: string, options?: Options) { super(413, message, options); } }
export class UnsupportedMediaType extends Fault { constructor(message: string, options?: Options) { super(415, message, options); } }
export class RangeNotSatisfiable extends Fault { constructor(message: string, options?: Options) { super(416, message, options); } }
export class TooManyRequests extends Fault { constructor(message: string, options?: Options) { super(429, message, options); } }
export class NotImplemented extends Fault { constructor(message: string, options?: Options) { super(501, message, options); } }
export class Unavailable extends Fault { constructor(message: string, options?: Options) { super(503, message, options); } }
