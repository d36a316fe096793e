import { createHash, generateKeyPair, X509Certificate, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { BadRequest } from '@cumulet/wire';

const invalid = (why: string) => new BadRequest(`Keypair data is invalid: ${why}`);
const colons = (digest: Buffer) => digest.toString('hex').replace(/(..)(?=.)/g, '$1:');

/** MD5 of the key as OpenSSH carries it, in nova's form with colons. Throws when it is no OpenSSH public key. */
export function sshFingerprint(publicKey: string): string {
  const [type, data] = publicKey.trim().split(/\s+/);
  if (!type || !data || !/^(ssh-(rsa|dss|ed25519)|ecdsa-sha2-nistp(256|384|521)|sk-(ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)$/.test(type) || !/^[A-Za-z0-9+/]+={0,2}$/.test(data)) throw invalid('failed to generate fingerprint');
  const blob = Buffer.from(data, 'base64');
  // The name is repeated inside, with its length in front: a key whose two halves disagree is damaged.
  const length = blob.length >= 4 ? blob.readUInt32BE(0) : 0;
  if (length !== type.length || blob.subarray(4, 4 + length).toString('latin1') !== type || blob.length <= 4 + length + 4) throw invalid('failed to generate fingerprint');
  for (let at = 0; at < blob.length;) {
    if (blob.length - at < 4) throw invalid('failed to generate fingerprint');
    at += 4 + blob.readUInt32BE(at);
    if (at > blob.length) throw invalid('failed to generate fingerprint');
  }
  return colons(createHash('md5').update(blob).digest());
}
export function x509Fingerprint(pem: string): string {
  try { return colons(createHash('sha1').update(new X509Certificate(pem).raw).digest()); } catch (cause) { throw new BadRequest('Keypair data is invalid: failed to generate X509 fingerprint. Error message: the certificate could not be read', { cause }); }
}

/** An RSA pair of 2048 bits: the private half as PEM, the public one as OpenSSH writes it. */
export async function generateSsh(): Promise<{ privateKey: string; publicKey: string; fingerprint: string }> {
  const pair: { publicKey: KeyObject; privateKey: KeyObject } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const jwk = pair.publicKey.export({ format: 'jwk' });
  const field = (bytes: Buffer) => { const size = Buffer.alloc(4); size.writeUInt32BE(bytes.length); return Buffer.concat([size, bytes]); };
  // Numbers are signed there: a leading zero keeps the high bit from meaning minus.
  const number = (text: string | undefined) => { const raw = Buffer.from(text ?? '', 'base64url'); return field((raw[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.from([0]), raw]) : raw); };
  const blob = Buffer.concat([field(Buffer.from('ssh-rsa')), number(jwk.e), number(jwk.n)]);
  const publicKey = `ssh-rsa ${blob.toString('base64')} Generated-by-Nova`;
  return { privateKey: pair.privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(), publicKey, fingerprint: sshFingerprint(publicKey) };
}
