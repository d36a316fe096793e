/** What a server is. Upstream's `vm_state`; which task is at work is `task_state`. */
export const vmStates = ['building', 'active', 'stopped', 'paused', 'suspended', 'rescued', 'resized', 'shelved', 'shelved_offloaded', 'soft-delete', 'deleted', 'error'] as const;
export type VmState = (typeof vmStates)[number];

/** Task states that are shown as a status of their own; every other one leaves the status that the vm_state has. */
const shown: Readonly<Partial<Record<VmState, Readonly<Record<string, string>>>>> = {
  active: {
    rebooting: 'REBOOT', reboot_pending: 'REBOOT', reboot_started: 'REBOOT', rebooting_hard: 'HARD_REBOOT', reboot_pending_hard: 'HARD_REBOOT', reboot_started_hard: 'HARD_REBOOT', updating_password: 'PASSWORD',
    rebuilding: 'REBUILD', rebuild_block_device_mapping: 'REBUILD', rebuild_spawning: 'REBUILD', migrating: 'MIGRATING', resize_prep: 'RESIZE', resize_migrating: 'RESIZE', resize_migrated: 'RESIZE', resize_finish: 'RESIZE',
  },
  stopped: { rebooting_hard: 'HARD_REBOOT', resize_prep: 'RESIZE', resize_migrating: 'RESIZE', resize_migrated: 'RESIZE', resize_finish: 'RESIZE', rebuilding: 'REBUILD', rebuild_block_device_mapping: 'REBUILD', rebuild_spawning: 'REBUILD' },
  resized: { resize_reverting: 'REVERT_RESIZE' },
  paused: { migrating: 'MIGRATING', rebooting_hard: 'HARD_REBOOT' },
  suspended: { rebooting_hard: 'HARD_REBOOT' },
  error: { rebooting_hard: 'HARD_REBOOT', rebuilding: 'REBUILD', rebuild_block_device_mapping: 'REBUILD', rebuild_spawning: 'REBUILD' },
};
const resting: Readonly<Record<VmState, string>> = {
  building: 'BUILD', active: 'ACTIVE', stopped: 'SHUTOFF', paused: 'PAUSED', suspended: 'SUSPENDED', rescued: 'RESCUE', resized: 'VERIFY_RESIZE', shelved: 'SHELVED', shelved_offloaded: 'SHELVED_OFFLOADED',
  'soft-delete': 'SOFT_DELETED', deleted: 'DELETED', error: 'ERROR',
};

export const statusOf = (vmState: VmState, taskState: string | null): string => (taskState === null ? undefined : shown[vmState]?.[taskState]) ?? resting[vmState];

/** For `?status=`: the states that a status stands for. Undefined: nothing has this status. */
export function statesOf(status: string): { vmState: VmState; tasks: readonly string[] | 'others' }[] {
  const wanted = status.toUpperCase();
  const found: { vmState: VmState; tasks: readonly string[] | 'others' }[] = [];
  for (const vmState of vmStates) {
    const tasks = Object.entries(shown[vmState] ?? {}).filter(([, s]) => s === wanted).map(([task]) => task);
    if (tasks.length > 0) found.push({ vmState, tasks });
    if (resting[vmState] === wanted) found.push({ vmState, tasks: 'others' });
  }
  return found;
}
/** Task states that hide the resting status of a vm_state. */
export const hidingTasks = (vmState: VmState): readonly string[] => Object.keys(shown[vmState] ?? {});

/** In which states upstream takes each action. A server with a task at work takes none of them, except where `during` says so. */
export const allowed: Readonly<Record<string, { readonly vm: readonly VmState[] | 'any'; readonly during?: 'any' | readonly string[]; /** Upstream asks for a host before it looks at the state. */ readonly placed?: true }>> = {
  'start': { vm: ['stopped'], placed: true },
  'stop': { vm: ['active', 'error'], placed: true },
  'reboot': { vm: ['active'] },
  'reboot hard': { vm: ['active', 'stopped', 'paused', 'suspended', 'error'], during: ['rebooting', 'reboot_pending', 'reboot_started', 'rebooting_hard', 'pausing', 'suspending', 'resuming', 'unpausing'] },
  'pause': { vm: ['active'] },
  'unpause': { vm: ['paused'] },
  'suspend': { vm: ['active'] },
  'resume': { vm: ['suspended'] },
  'rescue': { vm: ['active', 'stopped', 'error'] },
  'unrescue': { vm: ['rescued'] },
  'shelve': { vm: ['active', 'stopped', 'paused', 'suspended'] },
  'shelveOffload': { vm: ['shelved'] },
  'unshelve': { vm: ['shelved', 'shelved_offloaded'] },
  'rebuild': { vm: ['active', 'stopped', 'error'] },
  'resize': { vm: ['active', 'stopped'] },
  'confirmResize': { vm: ['resized'] },
  'revertResize': { vm: ['resized'] },
  'createImage': { vm: ['active', 'stopped', 'paused', 'suspended'] },
  'createBackup': { vm: ['active', 'stopped', 'paused', 'suspended'] },
  'migrate': { vm: ['active', 'stopped'] },
  'os-migrateLive': { vm: ['active', 'paused'] },
  'evacuate': { vm: ['active', 'stopped', 'error'], during: 'any' },
  'changePassword': { vm: ['active'] },
  'trigger_crash_dump': { vm: ['active', 'paused', 'rescued', 'resized', 'error'], placed: true },
  'restore': { vm: ['soft-delete'] },
  'attach_volume': { vm: ['active', 'paused', 'stopped', 'resized', 'soft-delete', 'shelved', 'shelved_offloaded'] },
  'detach_volume': { vm: ['active', 'paused', 'stopped', 'resized', 'soft-delete', 'shelved', 'shelved_offloaded'] },
  'swap_volume': { vm: ['active', 'paused', 'resized'] },
  'attach_interface': { vm: ['active', 'paused', 'stopped'] },
  'detach_interface': { vm: ['active', 'paused', 'stopped'] },
  'update metadata': { vm: ['active', 'paused', 'suspended', 'stopped'], during: 'any' },
  'delete metadata': { vm: ['active', 'paused', 'suspended', 'stopped'], during: 'any' },
  'update tag': { vm: ['active', 'paused', 'suspended', 'stopped'], during: 'any' },
  'update tags': { vm: ['active', 'paused', 'suspended', 'stopped'], during: 'any' },
  'delete tag': { vm: ['active', 'paused', 'suspended', 'stopped'], during: 'any' },
  'delete tags': { vm: ['active', 'paused', 'suspended', 'stopped'], during: 'any' },
};

/** What a guest's power says of a server, after something went wrong under way. */
export const vmStateOfPower: Readonly<Record<string, VmState>> = { running: 'active', paused: 'paused', shutdown: 'stopped', suspended: 'suspended', crashed: 'stopped', nostate: 'error' };
