export { loadSettings, SettingsError } from './load.ts';
export { services, type ServiceName } from './settings/services.ts';
export { settingsSchema, type Settings } from './settings.ts';
