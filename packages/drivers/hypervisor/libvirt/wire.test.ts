import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silent } from '../../call.ts';
import { Domains } from './domains.ts';
import { domainEvent, messageType, procedure, program, uuidBytes, uuidText, writeDomain } from './protocol.ts';
import { Session, type LibvirtEvent } from './session.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

const domain = { name: 'instance-1', uuid: '0a1b2c3d-1111-4222-8333-444455556666', id: 7 };

describe('XDR', () => {
  it('reads what it wrote, padded to four bytes', () => {
    const bytes = new XdrWriter().string('häß').u32(0xffffffff).i32(-5).u64(2n ** 53n).optionalString(undefined).optionalString('').fixed(uuidBytes(domain.uuid)).toBuffer();
    expect(bytes.length % 4).toBe(0);
    const reader = new XdrReader(bytes);
    expect([reader.string(), reader.u32(), reader.i32(), reader.u64(), reader.optionalString(), reader.optionalString(), uuidText(reader.fixed(16))])
      .toEqual(['häß', 0xffffffff, -5, 2 ** 53, undefined, '', domain.uuid]);
  });

  it('throws on a message that ends too early or claims a monstrous array', () => {
    expect(() => new XdrReader(Buffer.from([0, 0, 0, 9, 65])).string()).toThrow('cannot be understood');
    expect(() => new XdrReader(Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])).array((r) => r.u32())).toThrow('cannot be understood');
  });
});

/** A daemon of which each procedure's answer is scripted. */
class Daemon {
  readonly #server: Server;
  readonly sockets = new Set<Socket>();
  readonly calls: number[] = [];
  answers = new Map<number, (serial: number, socket: Socket) => void>();
  pings = 0;
  answerPings = true;

  constructor(path: string) {
    this.#server = createServer((socket) => {
      this.sockets.add(socket);
      let unread = Buffer.alloc(0);
      socket.on('error', () => undefined);
      socket.on('close', () => this.sockets.delete(socket));
      socket.on('data', (bytes) => {
        unread = Buffer.concat([unread, bytes]);
        while (unread.length >= 4 && unread.length >= unread.readUInt32BE(0)) {
          const message = unread.subarray(0, unread.readUInt32BE(0));
          unread = unread.subarray(message.length);
          this.#message(message, socket);
        }
      });
    });
    this.#server.listen(path);
  }

  #message(message: Buffer, socket: Socket): void {
    const [programNumber, , procedureNumber = 0, , serial = 0] = [4, 8, 12, 16, 20].map((at) => message.readUInt32BE(at));
    if (programNumber === program.keepAlive) {
      this.pings++;
      if (this.answerPings) this.send(socket, program.keepAlive, 2, messageType.message, 0, 0, Buffer.alloc(0));
      return;
    }
    this.calls.push(procedureNumber);
    const answer = this.answers.get(procedureNumber);
    if (answer) return answer(serial, socket);
    const greetings: Record<number, XdrWriter> = {
      [procedure.authList]: new XdrWriter().u32(1).i32(0), [procedure.connectSupportsFeature]: new XdrWriter().i32(1), [procedure.domainEventRegister]: new XdrWriter().i32(1),
    };
    this.reply(serial, socket, greetings[procedureNumber] ?? new XdrWriter());
  }

  send(socket: Socket, programNumber: number, procedureNumber: number, type: number, serial: number, status: number, body: Buffer): void {
    const header = new XdrWriter().u32(28 + body.length).u32(programNumber).u32(1).u32(procedureNumber).u32(type).u32(serial).u32(status).toBuffer();
    socket.write(Buffer.concat([header, body]));
  }

  reply(serial: number, socket: Socket, body: XdrWriter): void {
    this.send(socket, program.remote, 0, messageType.reply, serial, 0, body.toBuffer());
  }

  refuse(serial: number, socket: Socket, code: number, message: string): void {
    const body = new XdrWriter().i32(code).i32(10).optionalString(message).i32(2).u32(0).u32(0).u32(0).u32(0).i32(0).i32(0).u32(0);
    this.send(socket, program.remote, 0, messageType.reply, serial, 1, body.toBuffer());
  }

  lifecycle(event: number, detail: number): void {
    for (const socket of this.sockets) {
      const body = writeDomain(new XdrWriter().i32(1), domain).i32(event).i32(detail).toBuffer();
      this.send(socket, program.remote, domainEvent.lifecycle.procedure, messageType.message, 0, 0, body);
    }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

describe('session', () => {
  let dir: string;
  let path: string;
  let daemon: Daemon;
  let session: Session;
  let domains: Domains;

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'hyp-wire-'));
    path = join(dir, 'sock');
    daemon = new Daemon(path);
    session = new Session({ socketPath: path, log: silent, callTimeoutMs: 600, keepAliveMs: 100 });
    domains = new Domains(session);
  });
  afterEach(async () => {
    session.close();
    await daemon.close();
    await rm(dir, { recursive: true, force: true });
  });

  const found = (serial: number, socket: Socket): void => daemon.reply(serial, socket, writeDomain(new XdrWriter(), domain));

  it('connects at the first call, and a domain that is not there is no error', async () => {
    daemon.answers.set(procedure.domainLookupByUuid, found);
    expect(await domains.find(domain.uuid)).toEqual(domain);
    daemon.answers.set(procedure.domainLookupByUuid, (serial, socket) => daemon.refuse(serial, socket, 42, 'Domain not found'));
    expect(await domains.find(domain.uuid)).toBeUndefined();
  });

  it('tells why, in the words of the contract, with the daemon\'s own words for the log only', async () => {
    daemon.answers.set(procedure.domainCreateWithFlags, (serial, socket) => daemon.refuse(serial, socket, 38, 'cannot write /secret/path: No space left on device'));
    await expect(domains.start(domain)).rejects.toMatchObject({ kind: 'full', message: expect.not.stringContaining('/secret'), detail: expect.stringContaining('/secret') });
    daemon.answers.set(procedure.domainCreateWithFlags, (serial, socket) => daemon.refuse(serial, socket, 9, 'Failed to get "write" lock'));
    await expect(domains.start(domain)).rejects.toMatchObject({ kind: 'busy' });
  });

  it('understands answers that come in pieces, together and out of order', async () => {
    session.close();
    session = new Session({ socketPath: path, log: silent, keepAliveMs: 0 }); // a pong between the pieces would be our own mistake
    domains = new Domains(session);
    const waiting: [number, Socket][] = [];
    daemon.answers.set(procedure.domainGetXmlDesc, (serial, socket) => waiting.push([serial, socket]));
    const asked = [domains.xml(domain), domains.xml(domain), domains.xml(domain)];
    await expect.poll(() => waiting.length).toBe(3);
    const whole = Buffer.concat(waiting.toReversed().map(([serial], i) => {
      const body = new XdrWriter().string(`<domain n="${2 - i}"/>`).toBuffer();
      return Buffer.concat([new XdrWriter().u32(28 + body.length).u32(program.remote).u32(1).u32(14).u32(messageType.reply).u32(serial).u32(0).toBuffer(), body]);
    }));
    for (let at = 0; at < whole.length; at += 3) {
      waiting[0]?.[1].write(whole.subarray(at, at + 3));
      await sleep(0);
    }
    expect(await Promise.all(asked)).toEqual(['<domain n="0"/>', '<domain n="1"/>', '<domain n="2"/>']);
  });

  it('gives up on a daemon that does not answer, and ignores its late answer', async () => {
    const late: (() => void)[] = [];
    daemon.answers.set(procedure.domainGetXmlDesc, (serial, socket) => late.push(() => daemon.reply(serial, socket, new XdrWriter().string('late'))));
    await expect(domains.xml(domain)).rejects.toMatchObject({ kind: 'transient' });
    for (const send of late) send();
    daemon.answers.set(procedure.domainGetXmlDesc, (serial, socket) => daemon.reply(serial, socket, new XdrWriter().string('fresh')));
    expect(await domains.xml(domain)).toBe('fresh');
  });

  it('fails what waits when the connection breaks, and the next call opens another', async () => {
    daemon.answers.set(procedure.domainGetXmlDesc, (_serial, socket) => socket.destroy());
    await expect(domains.xml(domain)).rejects.toMatchObject({ kind: 'transient' });
    daemon.answers.set(procedure.domainGetXmlDesc, (serial, socket) => daemon.reply(serial, socket, new XdrWriter().string('again')));
    expect(await domains.xml(domain)).toBe('again');
  });

  it('subscribes again after a loss and says that events may be missing', async () => {
    const events: LibvirtEvent[] = [];
    session.listen((event) => events.push(event));
    await expect.poll(() => daemon.calls.filter((c) => c === procedure.domainEventRegister).length).toBe(Object.keys(domainEvent).length);
    daemon.lifecycle(2, 0);
    await expect.poll(() => events).toEqual([{ kind: 'lifecycle', domain, event: 2, detail: 0 }]);
    await daemon.close();
    daemon = new Daemon(path);
    await expect.poll(() => events.at(-1), { timeout: 3_000 }).toEqual({ kind: 'gap' });
    daemon.lifecycle(5, 1);
    await expect.poll(() => events.at(-1)).toMatchObject({ kind: 'lifecycle', event: 5 });
  });

  it('takes a silent daemon for dead', async () => {
    const events: LibvirtEvent[] = [];
    session.listen((event) => events.push(event));
    await expect.poll(() => daemon.pings, { timeout: 2_000 }).toBeGreaterThan(1);
    expect(events).toEqual([]);
    daemon.answerPings = false;
    await expect.poll(() => events.length, { timeout: 3_000 }).toBeGreaterThan(0);
  });

  it('leaves a daemon that talks nonsense', async () => {
    daemon.answers.set(procedure.domainGetXmlDesc, (_serial, socket) => socket.write(Buffer.alloc(64, 0xff)));
    await expect(domains.xml(domain)).rejects.toMatchObject({ kind: 'transient' });
    daemon.answers.set(procedure.domainGetXmlDesc, (serial, socket) => daemon.reply(serial, socket, new XdrWriter().u32(4_000_000)));
    await expect(domains.xml(domain)).rejects.toMatchObject({ kind: 'broken' });
  });

  it('says transient where there is no daemon', async () => {
    const nobody = new Session({ socketPath: join(dir, 'nobody'), log: silent });
    await expect(new Domains(nobody).all()).rejects.toMatchObject({ kind: 'transient' });
    nobody.close();
  });
});
