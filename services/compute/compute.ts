import type { Runtime } from '@cumulet/service';
import type { RequestNeighbours } from './neighbours.ts';

/** What the handlers of the API have. */
export interface Compute { readonly rt: Runtime; readonly n: RequestNeighbours }
