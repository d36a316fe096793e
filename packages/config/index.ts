export { loadSettings, SettingsError } from './load.ts';
export { services, settingsSchema, type ServiceName, type Settings } from './settings.ts';
