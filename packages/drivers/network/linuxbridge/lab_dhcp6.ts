import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';

/*
 * For tests, run inside a guest's namespace: as much of a DHCPv6 client (RFC 8415) as shows what the server says. Prints JSON, or null when
 * nobody answers. Machines that run the tests have no such client of their own.
 */

const SERVERS = 'ff02::1:2%eth0';
const [SOLICIT, ADVERTISE, REQUEST, REPLY, INFORMATION] = [1, 2, 3, 7, 11];
const [CLIENT_ID, SERVER_ID, IA_NA, IA_ADDRESS, WANTED, DNS] = [1, 2, 3, 5, 6, 23];

const stateless = process.argv[2] === 'stateless';
const mac = Buffer.from(readFileSync('/sys/class/net/eth0/address', 'utf8').trim().replaceAll(':', ''), 'hex');
const option = (code: number, value: Buffer) => Buffer.concat([Buffer.from([code >> 8, code & 255, value.length >> 8, value.length & 255]), value]);
const own = [option(CLIENT_ID, Buffer.concat([Buffer.from([0, 3, 0, 1]), mac])), option(WANTED, Buffer.from([0, DNS])), option(8, Buffer.alloc(2))];
const message = (type: number, ...options: Buffer[]) => Buffer.concat([Buffer.from([type, 0xa1, 0xb2, 0xc3]), ...own, ...options]);

function optionsOf(bytes: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; at += 4 + bytes.readUInt16BE(at + 2)) found.set(bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + bytes.readUInt16BE(at + 2)));
  return found;
}
const words = (bytes: Buffer | undefined) => (bytes && bytes.length >= 16 ? Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16)).join(':') : undefined);

const socket = createSocket({ type: 'udp6', reuseAddr: true });
const end = (told: object | null) => { console.log(JSON.stringify(told)); clearInterval(again); socket.close(); };
const ask = (what: Buffer) => socket.send(what, 547, SERVERS);
const iaNa = option(IA_NA, Buffer.concat([Buffer.from([0, 0, 0, 1]), Buffer.alloc(8)]));
let left = 4;
let question = stateless ? message(INFORMATION) : message(SOLICIT, iaNa);
const again = setInterval(() => { if (left-- > 0) ask(question); else end(null); }, 700);
socket.on('message', answer => {
  const options = optionsOf(answer.subarray(4));
  const address = optionsOf(options.get(IA_NA)?.subarray(12) ?? Buffer.alloc(0)).get(IA_ADDRESS);
  const server = options.get(SERVER_ID);
  if (answer[0] === ADVERTISE && server && address) {
    question = message(REQUEST, option(SERVER_ID, server), option(IA_NA, options.get(IA_NA) as Buffer));
    ask(question);
  } else if (answer[0] === REPLY) {
    const dns = words(options.get(DNS));
    end({ ...(address ? { address: words(address) } : {}), ...(dns === undefined ? {} : { dns }) });
  }
});
socket.bind({ port: 546, exclusive: false }, () => ask(question));
