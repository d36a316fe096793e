import { mkdirSync } from 'node:fs';
import { loadSettings } from '@cumulet/config';
import { tokenFacts } from '@cumulet/identity';
import { openRuntime } from '@cumulet/service';
import { bootstrapCloud } from './bootstrap.ts';
import { migrateDatabase } from './database.ts';
import { keepPasswords } from './passwords.ts';

// For services that run alone (docker-compose.yml): the schema and the first rows, before them. The all-in-one does it by itself.
const settings = loadSettings();
if (!settings.databaseUrl) throw new Error('DATABASE_URL is not set');
await migrateDatabase(settings.databaseUrl);
mkdirSync(settings.home, { recursive: true, mode: 0o711 });
const passwords = keepPasswords(`${settings.home}/passwords.json`, settings.passwords);
const rt = await openRuntime({ settings: { ...settings, passwords }, name: 'bootstrap', facts: tokenFacts });
await bootstrapCloud(rt);
await rt.close();
