import { createHash, generateKeyPair, randomBytes, sign, X509Certificate, type KeyObject } from 'node:crypto';
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

// Distinguished Encoding Rules, as far as a certificate needs them.
const der = (tag: number, ...parts: Buffer[]): Buffer => {
  const body = Buffer.concat(parts);
  const size = body.length < 128 ? Buffer.from([body.length]) : body.length < 256 ? Buffer.from([0x81, body.length]) : Buffer.from([0x82, body.length >> 8, body.length & 255]);
  return Buffer.concat([Buffer.from([tag]), size, body]);
};
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'));
const time = (at: Date) => der(0x18, Buffer.from(at.toISOString().replace(/[-:T]|\.\d+/g, '')));

/** A certificate that signs itself, for a Windows guest's WinRM: its user is the subject, for ten years. */
export async function generateX509(userId: string, now: number): Promise<{ privateKey: string; publicKey: string; fingerprint: string }> {
  const pair: { publicKey: KeyObject; privateKey: KeyObject } = await promisify(generateKeyPair)('rsa', { modulusLength: 2048 });
  const algorithm = der(0x30, oid('2a864886f70d01010b'), der(0x05));                                    // sha256WithRSAEncryption
  const name = der(0x30, der(0x31, der(0x30, oid('550403'), der(0x0c, Buffer.from(userId.slice(0, 64))))));   // commonName
  const usage = der(0x30, oid('551d25'), der(0x04, der(0x30, oid('2b06010505070302'))));                // extendedKeyUsage: clientAuth
  const upn = der(0xa0, oid('2b060104018237140203'), der(0xa0, der(0x0c, Buffer.from(`${userId.slice(0, 64)}@localhost`))));
  const alternative = der(0x30, oid('551d11'), der(0x04, der(0x30, upn)));                              // subjectAltName
  const tbs = der(0x30,
    der(0xa0, der(0x02, Buffer.from([2]))), der(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(15)])), algorithm, name, der(0x30, time(new Date(now)), time(new Date(now + 10 * 365 * 86_400_000))), name,
    pair.publicKey.export({ type: 'spki', format: 'der' }), der(0xa3, der(0x30, usage, alternative)));
  const certificate = der(0x30, tbs, algorithm, der(0x03, Buffer.from([0]), sign('sha256', tbs, pair.privateKey)));
  const publicKey = `-----BEGIN CERTIFICATE-----\n${certificate.toString('base64').replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END CERTIFICATE-----\n`;
  return { privateKey: pair.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), publicKey, fingerprint: x509Fingerprint(publicKey) };
}
