import { connect, type Socket } from 'node:net';

/** The part of the NBD protocol (newstyle, simple replies) that one local export needs: read, write, write zeroes, flush. */

const NBD_MAGIC = 0x4e42444d41474943n;
const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const FIXED_NEWSTYLE = 1;
const NO_ZEROES = 2;
const OPT_GO = 7;
const REP_ACK = 1;
const REP_INFO = 3;
const INFO_EXPORT = 0;
const COMMANDS = { read: 0, write: 1, disconnect: 2, flush: 3, writeZeroes: 6 } as const;
/** Errors as the protocol numbers them, which is Linux's numbering. */
const ERRNO: Readonly<Record<number, string>> = { 1: 'EPERM', 5: 'EIO', 12: 'ENOMEM', 22: 'EINVAL', 28: 'ENOSPC', 75: 'EOVERFLOW', 95: 'ENOTSUP', 108: 'ESHUTDOWN' };

export interface NbdClient {
  /** Bytes. */
  readonly size: number;
  read(offset: number, length: number): Promise<Buffer>;
  write(offset: number, bytes: Buffer): Promise<void>;
  zero(offset: number, length: number): Promise<void>;
  flush(): Promise<void>;
  /** Says goodbye; the server may end. */
  close(): void;
}

interface Pending {
  readonly length: number;
  resolve(bytes: Buffer): void;
  reject(error: Error): void;
}

export async function connectNbd(socketPath: string): Promise<NbdClient> {
  const socket = connect(socketPath);
  const source = reader(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  const size = await negotiate(socket, source).catch((error: unknown) => {
    socket.destroy();
    throw error;
  });
  return session(socket, source, size);
}

async function negotiate(socket: Socket, source: Source): Promise<number> {
  const hello = await source(18);
  if (hello.readBigUInt64BE(0) !== NBD_MAGIC || hello.readBigUInt64BE(8) !== OPTION_MAGIC) throw new Error('The NBD server does not speak the newstyle protocol');
  const flags = Buffer.alloc(4);
  flags.writeUInt32BE(hello.readUInt16BE(16) & (FIXED_NEWSTYLE | NO_ZEROES));
  const go = Buffer.alloc(16 + 6);
  go.writeBigUInt64BE(OPTION_MAGIC, 0);
  go.writeUInt32BE(OPT_GO, 8);
  go.writeUInt32BE(6, 12);
  socket.write(Buffer.concat([flags, go]));
  let size = -1;
  for (;;) {
    const head = await source(20);
    if (head.readBigUInt64BE(0) !== OPTION_REPLY_MAGIC) throw new Error('The NBD server sent a malformed reply');
    const type = head.readUInt32BE(12);
    const body = await source(head.readUInt32BE(16));
    if (type === REP_INFO && body.readUInt16BE(0) === INFO_EXPORT) size = Number(body.readBigUInt64BE(2));
    else if (type === REP_ACK && size >= 0) return size;
    else if (type !== REP_INFO) throw new Error(`The NBD server refused the export: ${body.toString('utf8', 0, 200)}`);
  }
}

function session(socket: Socket, source: Source, size: number): NbdClient {
  const pending = new Map<bigint, Pending>();
  let cookie = 0n;
  let broken: Error | undefined;
  const breakAll = (error: Error) => {
    broken ??= error;
    for (const one of pending.values()) one.reject(broken);
    pending.clear();
    socket.destroy();
  };
  socket.on('error', breakAll);

  void (async () => {
    for (;;) {
      const head = await source(16);
      const id = head.readBigUInt64BE(8);
      const one = pending.get(id);
      if (head.readUInt32BE(0) !== REPLY_MAGIC || !one) throw new Error('The NBD server sent a malformed reply');
      const code = head.readUInt32BE(4);
      const data = code === 0 && one.length > 0 ? await source(one.length) : head;
      // Only now: until all of it is here, a broken connection has to reject it too.
      pending.delete(id);
      if (code === 0) one.resolve(data);
      else one.reject(Object.assign(new Error(`NBD error ${code}`), { code: ERRNO[code] ?? 'EIO', syscall: 'nbd' }));
    }
  })().catch((error: unknown) => breakAll(error instanceof Error ? error : new Error(String(error))));

  function ask(command: keyof typeof COMMANDS, offset: number, length: number, data?: Buffer): Promise<Buffer> {
    if (broken) return Promise.reject(broken);
    const head = Buffer.alloc(28);
    const id = cookie++;
    head.writeUInt32BE(REQUEST_MAGIC, 0);
    head.writeUInt16BE(COMMANDS[command], 6);
    head.writeBigUInt64BE(id, 8);
    head.writeBigUInt64BE(BigInt(offset), 16);
    head.writeUInt32BE(length, 24);
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    pending.set(id, { length: command === 'read' ? length : 0, resolve, reject });
    socket.write(head);
    if (data) socket.write(data);
    return promise;
  }

  return {
    size,
    read: (offset, length) => (length === 0 ? Promise.resolve(Buffer.alloc(0)) : ask('read', offset, length)),
    async write(offset, bytes) { await ask('write', offset, bytes.length, bytes); },
    async zero(offset, length) {
      // QEMU takes at most 2 GiB at once.
      for (let done = 0; done < length; done += 1 << 30) await ask('writeZeroes', offset + done, Math.min(1 << 30, length - done));
    },
    async flush() { await ask('flush', 0, 0); },
    close() {
      if (!broken) {
        const head = Buffer.alloc(28);
        head.writeUInt32BE(REQUEST_MAGIC, 0);
        head.writeUInt16BE(COMMANDS.disconnect, 6);
        socket.end(head);
      }
      broken ??= new Error('The NBD connection is closed');
    },
  };
}

type Source = (length: number) => Promise<Buffer>;

/** Exactly so many bytes from the socket. */
function reader(socket: Socket): Source {
  const chunks: Buffer[] = [];
  let held = 0;
  let ended: Error | undefined;
  let wake = () => {};
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    held += chunk.length;
    wake();
  });
  const end = (error?: Error) => {
    ended ??= error ?? new Error('The NBD server closed the connection');
    wake();
  };
  socket.on('error', end);
  socket.on('close', () => end());
  return async (length) => {
    while (held < length) {
      if (ended) throw ended;
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      await promise;
    }
    const all = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks);
    chunks.length = 0;
    if (all.length > length) chunks.push(all.subarray(length));
    held -= length;
    return all.subarray(0, length);
  };
}
