export { plainCall, silent, type Call, type Log } from './call.ts';
export { DriverError, need, Unsupported, type DriverErrorKind } from './errors.ts';
export { giveBack, keep, lend } from './lent.ts';
