import type { Runtime } from '@cumulet/service';
import type { Holder } from '@cumulet/tasks';
import type { Hashing } from './data/hashing.ts';
import type { Stores } from './stores.ts';

/** What the image API has open. */
export interface ImageDeps {
  readonly rt: Runtime;
  readonly stores: Stores;
  readonly hashing: Hashing;
  /** Keeps the tasks that uploads are held by. */
  readonly holder: Holder;
}
