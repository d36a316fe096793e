import type { Call } from '../call.ts';
import type { BackupRef } from './contract.ts';
import { checkRef, metadataName, partsPrefix } from './layout.ts';
import type { ObjectStore } from './store.ts';

/** How many are removed side by side. */
const AT_ONCE = 8;

/** Everything of a backup. Its metadata goes first, so that nobody takes the rest for a backup. */
export async function removeBackup(call: Call, store: ObjectStore, backup: BackupRef): Promise<void> {
  checkRef(backup);
  const { container, serviceMetadata: prefix } = backup;
  await store.remove(call, container, metadataName(prefix));
  const gone = async (names: AsyncIterable<{ readonly name: string }>) => {
    let some: Promise<void>[] = [];
    for await (const { name } of names) {
      call.signal.throwIfAborted();
      some.push(store.remove(call, container, name));
      if (some.length < AT_ONCE) continue;
      await Promise.all(some);
      some = [];
    }
    await Promise.all(some);
  };
  await gone(store.list(call, container, prefix));
  await gone(store.list(call, container, partsPrefix(prefix)));
  await store.sweep(call, backup);
  await store.leave(call, backup);
}
