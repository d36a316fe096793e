export { linuxBridge } from './driver.ts';
export { linuxBridgeDefaults, type LinuxBridgeSettings } from './settings.ts';
