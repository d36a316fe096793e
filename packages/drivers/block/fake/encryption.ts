import { createHash } from 'node:crypto';
import { luksHeaderBytes } from '@cumulet/diskimage';
import { DriverError } from '../../errors.ts';
import type { DataRef, Encryption, LuksKey, Provided, VolumeSpec } from '../contract.ts';
import type { FakeContext } from './context.ts';
import { fakeData } from './data.ts';
import { BLOCK, bytesIn } from './state.ts';

const fingerprint = ({ passphrase }: LuksKey): Buffer => createHash('sha256').update(passphrase).digest();

/** A header that knows its key, and a content that is kept as it is: what matters here is who can open what. */
export function fakeEncryption(context: FakeContext, make: (spec: VolumeSpec) => Provided): Encryption {
  const plain = fakeData(context);
  const open = (ref: DataRef, key: LuksKey): { readonly size: number } => {
    const object = context.find(ref);
    if (!bytesIn(object, 64, 32).equals(fingerprint(key))) throw new DriverError('invalid', 'The key does not open the volume.');
    return { size: object.bytes - luksHeaderBytes };
  };
  const shifted = (offset = 0): { readonly offset: number } => ({ offset: luksHeaderBytes + offset });
  return {
    create: (call, spec, key) => context.through('encryption.create', call, () => {
      const given = make(spec);
      const object = context.find({ ...spec, ...given });
      const header = Buffer.alloc(BLOCK);
      header.write('LUKS\xba\xbe\0\x01', 'latin1');
      fingerprint(key).copy(header, 64);
      context.put({ ...object, blocks: new Map([...object.blocks, [0, header]]) });
      return given;
    }),
    data: (key) => ({
      read: (call, ref, { offset = 0, length } = {}) => context.through('encryption.open', call, async () => {
        const { size } = open(ref, key);
        return plain.read(call, ref, { ...shifted(offset), length: length ?? size - offset });
      }),
      write: (call, volume, { offset } = {}) => context.through('encryption.open', call, async () => {
        open(volume, key);
        return plain.write(call, volume, shifted(offset));
      }),
      zero: (call, volume, { offset, length }) => context.through('encryption.open', call, async () => {
        open(volume, key);
        await plain.zero(call, volume, { ...shifted(offset), length });
      }),
    }),
  };
}
