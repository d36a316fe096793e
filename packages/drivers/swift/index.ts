/** A small client for Swift, which image stores and backup targets share. */
export { openSwift, type Listed, type ObjectFacts, type PutOptions, type Segment, type SwiftClient } from './client.ts';
export type { SwiftOptions } from './exchange.ts';
export { openSession, type Session, type SwiftAccount } from './session.ts';
