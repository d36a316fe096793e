import { loadSettings } from '@cumulet/config';
import { connect } from '@cumulet/db';
import { createLog } from '@cumulet/service';
import { loadMetadefs, metadefFolder } from './metadefs/load.ts';

// Loads metadata definition namespaces now, as `glance-manage db_load_metadefs` does, those that were deleted too: `node services/image/load-metadefs.ts [FOLDER]`.
const settings = loadSettings();
if (!settings.databaseUrl) throw new Error('DATABASE_URL is not set');
const folder = await metadefFolder(process.argv[2] ?? settings.image.metadefsPath);
if (folder === undefined) throw new Error('Name a folder of namespaces, or install glance-common, which has the standard ones.');
const db = connect({ url: settings.databaseUrl, pool: 1, name: 'cumulet load-metadefs' });
try {
  console.log(`${await loadMetadefs({ db, log: createLog(settings, 'load-metadefs') }, folder, 'admin', { again: true })} new namespaces from ${folder}`);
} finally { await db.destroy(); }
