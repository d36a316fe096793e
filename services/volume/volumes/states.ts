import type { Resource } from '@cumulet/db';

const busy = ['creating', 'downloading', 'deleting', 'extending', 'uploading', 'retyping', 'managing', 'unmanaging', 'reverting', 'backing-up', 'restoring-backup'] as const;
const resting = [
  'available', 'in-use', 'reserved', 'attaching', 'detaching', 'error', 'error_deleting', 'error_extending', 'error_managing', 'error_restoring', 'error_backing-up', 'awaiting-transfer', 'maintenance',
] as const;
export type Busy = (typeof busy)[number];
export type Resting = (typeof resting)[number];
/** What an administrator calls a volume by os-reset_status although nobody is at work: it rests, is shown without the prefix, and fits no state that an operation asks for. */
export type Forced = `forced:${Busy}`;
export type VolumeStatus = Busy | Resting | Forced;

const forced = busy.map(s => `forced:${s}` as const);
export const shownStatus = (status: string): string => status.replace(/^forced:/, '');
export const isBusy = (status: string): status is Busy => (busy as readonly string[]).includes(status);
const anywhereAtRest: readonly VolumeStatus[] = [...resting, ...forced];
const begins: readonly VolumeStatus[] = ['deleting', 'extending', 'uploading', 'retyping', 'reverting', 'backing-up', 'restoring-backup', 'unmanaging', 'downloading', 'managing'];
const fromRest = Object.fromEntries(anywhereAtRest.map(s => [s, [...anywhereAtRest, ...begins]])) as unknown as Record<Resting | Forced, readonly VolumeStatus[]>;
/** Where a task can leave a volume. A delete may take over from anything. */
const back: readonly VolumeStatus[] = ['available', 'in-use', 'error', 'reserved', 'maintenance'];

/** Upstream's statuses and the moves between them. */
export const Volume: Resource<VolumeStatus> = {
  table: 'volumes', label: 'Volume', transitional: busy,
  moves: {
    ...fromRest,
    creating: ['available', 'error', 'deleting', 'downloading', 'managing'],
    downloading: [...back, 'deleting'],
    deleting: [...back, 'error_deleting', 'deleting'],
    extending: [...back, 'error_extending', 'deleting'],
    uploading: [...back, 'deleting'],
    retyping: [...back, 'deleting'],
    managing: ['available', 'error_managing', 'deleting'],
    unmanaging: ['error', 'available', 'error_managing'],
    reverting: [...back, 'deleting'],
    'backing-up': [...back, 'error_backing-up', 'deleting'],
    'restoring-backup': [...back, 'error_restoring', 'deleting'],
  },
};

/** Statuses that os-reset_status may set, in the order in which the refusal names them. */
export const resettable = [
  'creating', 'available', 'deleting', 'error', 'error_deleting', 'error_managing', 'managing', 'attaching', 'in-use', 'detaching', 'maintenance', 'restoring-backup', 'error_restoring', 'reserved',
  'awaiting-transfer', 'backing-up', 'error_backing-up', 'error_extending', 'downloading', 'uploading', 'retyping', 'extending',
] as const;
/** The status as it is kept when nobody is at work. */
export const atRest = (status: string): Resting | Forced => (isBusy(status) ? `forced:${status}` : status as Resting);
