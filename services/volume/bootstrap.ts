import type { Runtime } from '@cumulet/service';
import { newId } from '@cumulet/wire';

/** First-start rows: the default volume type, and the group type that consistency groups stand on. Repeats. */
export async function bootstrap(rt: Pick<Runtime, 'db' | 'settings'>): Promise<void> {
  await rt.db('volume_types').insert({ id: newId(), name: rt.settings.volume.defaultType, description: 'Default Volume Type' }).onConflict('name').ignore();
  await rt.db('volume_group_types').insert({ id: newId(), name: 'default_cgsnapshot_type', description: 'Default group type for migrating cgsnapshot', group_specs: JSON.stringify({ consistent_group_snapshot_enabled: '<is> True' }) }).onConflict('name').ignore();
}
