import { luksCipher, type LuksCipher } from '@cumulet/diskimage';
import { invalidInput, invalidVolume } from '../faults.ts';
import { specIsTrue, type Encryption, type TypeRow } from '../types/store.ts';

/** Upstream's encryptors by their names of today and of before. Whichever is asked for, a volume becomes a LUKS container (version 1): that is what QEMU opens. */
const providers = /^(luks2?|plain)$|(^|\.)(LuksEncryptor|Luks2Encryptor|CryptsetupEncryptor)$/;

export const cipherOf = (encryption: Encryption | null): LuksCipher | undefined => luksCipher(encryption?.cipher, encryption?.key_size);

/** A type whose volumes can be made; 400 otherwise. */
export function checkEncryption(type: TypeRow): void {
  const { encryption } = type;
  if (!encryption) return;
  if (!providers.test(encryption.provider)) throw invalidInput(`The encryption provider ${encryption.provider} of volume type ${type.name} is not supported; luks is.`);
  if (!cipherOf(encryption)) throw invalidInput(`The cipher ${encryption.cipher ?? ''} with a key of ${encryption.key_size ?? 256} bits, of volume type ${type.name}, is not supported.`);
  if (specIsTrue(type.extra_specs['multiattach'])) throw invalidVolume('Multiattach cannot be used with encrypted volumes.');
}

/** Whether bytes of one type's volumes would be wrong for the other's. */
export const encryptionChanges = (from: Pick<TypeRow, 'encryption'> | undefined, to: Pick<TypeRow, 'encryption'>): boolean => {
  const [a, b] = [from?.encryption ?? null, to.encryption];
  return a === null || b === null ? a !== b : (['provider', 'cipher', 'key_size', 'control_location'] as const).some(key => a[key] !== b[key]);
};
/** For the scheduler: who is to encrypt. */
export const encryptionWish = (type: Pick<TypeRow, 'encryption'>): { encryption?: string } => (type.encryption ? { encryption: type.encryption.control_location } : {});
