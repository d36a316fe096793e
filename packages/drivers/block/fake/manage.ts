import { checkName } from '../../durable.ts';
import { DriverError } from '../../errors.ts';
import type { Manage, ManageSnapshots, Reference, SnapshotRef } from '../contract.ts';
import { GiB, type FakeContext } from './context.ts';
import type { FakeObject } from './state.ts';

const sizeOf = (object: FakeObject) => Math.max(1, Math.ceil(object.bytes / GiB));
const absent = (what: string) => new DriverError('absent', `There is no such ${what} on this backend.`);

export function fakeManage(context: FakeContext): Manage {
  function keyOf(reference: Reference): string {
    const name = reference['source-name'];
    if (name === undefined || name === '' || /[/~\0]/.test(name) || name.startsWith('.')) throw new DriverError('invalid', 'The source-name does not name a volume of this backend.');
    return name;
  }
  function find(reference: Reference): FakeObject {
    const found = context.get(keyOf(reference));
    if (!found) throw absent('volume');
    return found;
  }
  return {
    async *list(call) {
      for (const key of await context.through('manage.list', call, () => context.keys())) {
        const object = key.includes('~') ? undefined : context.get(key);
        if (!object) continue;
        const reference = { 'source-name': key };
        if (context.snapshotsOf(key).length > 0) yield { reference, sizeGiB: sizeOf(object), safe: false, reason: 'The volume has snapshots.' };
        else yield { reference, sizeGiB: sizeOf(object), safe: true };
      }
    },
    size: (call, reference) => context.through('manage.size', call, () => sizeOf(find(reference))),
    adopt: (call, spec, reference) => context.through('manage.adopt', call, () => {
      const [from, to] = [keyOf(reference), checkName(spec.name)];
      if (from !== to && context.get(to)) return {};
      const object = find(reference);
      if (object.bytes > spec.sizeGiB * GiB) throw new DriverError('invalid', `The volume is larger than ${spec.sizeGiB} GiB.`);
      if (from !== to && context.snapshotsOf(from).length > 0) throw new DriverError('busy', 'The volume has snapshots.');
      context.put({ ...object, key: to, bytes: spec.sizeGiB * GiB });
      if (from !== to) context.delete(from);
      return {};
    }),
    release: (call) => context.through('manage.release', call, () => undefined),
  };
}

export function fakeManageSnapshots(context: FakeContext): ManageSnapshots {
  function keyOf(volume: SnapshotRef['volume'], reference: Reference): string {
    const [first = '', second, more] = (reference['source-name'] ?? '').split('~');
    if (first === '' || more !== undefined || (second !== undefined && first !== volume.name)) throw new DriverError('invalid', 'The source-name does not name a snapshot of this volume.');
    return `${checkName(volume.name)}~${checkName(second ?? first)}`;
  }
  return {
    async *list(call) {
      for (const key of await context.through('manageSnapshots.list', call, () => context.keys())) {
        const object = key.includes('~') ? context.get(key) : undefined;
        if (object) yield { reference: { 'source-name': key }, source: { 'source-name': key.split('~')[0] ?? '' }, sizeGiB: sizeOf(object), safe: true };
      }
    },
    size: (call, volume, reference) => context.through('manageSnapshots.size', call, () => {
      const found = context.get(keyOf(volume, reference));
      if (!found) throw absent('snapshot');
      return sizeOf(found);
    }),
    adopt: (call, ref, reference) => context.through('manageSnapshots.adopt', call, () => {
      const [from, to] = [keyOf(ref.volume, reference), context.keyOf(ref)];
      const found = context.get(from);
      if (!found && !context.get(to)) throw absent('snapshot');
      if (found && from !== to) {
        context.put({ ...found, key: to });
        context.delete(from);
      }
      return {};
    }),
    release: (call) => context.through('manageSnapshots.release', call, () => undefined),
  };
}
