export { bare, explain, invalidInput, python, type Explained } from './explain.ts';
export {
  BadRequest, Conflict, Fault, Forbidden, Gone, MethodNotAllowed, NotAcceptable, NotFound, NotImplemented, RangeNotSatisfiable, TooLarge, TooManyRequests,
  Unauthorized, Unavailable, UnsupportedMediaType,
} from './faults.ts';
export { identityId, isUuid, isUuidLike, newHexId, newId, newRequestId, uuid, withDashes } from './ids.ts';
export { lastOf, one, own, parseBool, parseSort, queryCount, type Sort } from './paging.ts';
export { micros, microsZ, orNull, parseTime, seconds } from './times.ts';
export { before, compare, shape, unversioned, Versions, within, without, type Change, type Dialect, type Micro, type Shape } from './versions.ts';
