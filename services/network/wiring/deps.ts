import type { Db } from '@cumulet/db';
import type { NetworkDriver } from '@cumulet/drivers/network';

/** What brings networks onto a host. */
export interface NetworkDeps {
  readonly db: Db;
  readonly driver: NetworkDriver;
  readonly host: string;
  /** Where the metadata service answers; null: nowhere. */
  readonly metadataSocket: string | null;
  /** The host itself may reach floating addresses. */
  readonly hostAccess: boolean;
}
