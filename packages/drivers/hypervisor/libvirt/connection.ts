import { connect, type Socket } from 'node:net';
import { LibvirtError, LibvirtUnavailable } from './errors.ts';
import { keepAlive, messageType, procedure, program } from './protocol.ts';
import { XdrReader, XdrWriter } from './xdr.ts';

const headerLength = 28;
/** `VIR_NET_MESSAGE_MAX` upstream plus the length word. */
const largestMessage = 16_777_216 + 4;

export interface ConnectionOptions {
  readonly socketPath: string;
  readonly uri: string;
  /** For a call that names no limit of its own. */
  readonly callTimeoutMs: number;
  /** A daemon that says nothing for this long, twice, is taken for dead. 0 = never ask. */
  readonly keepAliveMs: number;
  onEvent(procedureNumber: number, body: XdrReader): void;
  onClose(reason: Error): void;
}

interface Pending {
  resolve(body: XdrReader): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** One life of one socket: frames, serial numbers, time-outs, keep-alive. Once closed it stays closed. */
export class Connection {
  readonly #options: ConnectionOptions;
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  #serial = 1;
  #closed: Error | undefined;
  #unread: Buffer[] = [];
  #unreadLength = 0;
  #keepAliveTimer: NodeJS.Timeout | undefined;
  #silentRounds = 0;

  private constructor(options: ConnectionOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
    socket.on('data', (bytes) => this.#received(bytes));
    socket.on('error', (error) => this.#close(new LibvirtUnavailable(`libvirt's socket failed: ${error.message}`, error)));
    socket.on('close', () => this.#close(new LibvirtUnavailable('libvirt closed the connection')));
  }

  static async open(options: ConnectionOptions): Promise<Connection> {
    const socket = connect(options.socketPath);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => socket.destroy(new Error('time-out')), options.callTimeoutMs);
      socket.once('connect', () => { clearTimeout(timer); resolve(); });
      socket.once('error', (error) => {
        clearTimeout(timer);
        reject(new LibvirtUnavailable(`cannot connect to libvirt at ${options.socketPath}: ${error.message}`, error));
      });
    });
    socket.removeAllListeners('error');
    const connection = new Connection(options, socket);
    try {
      await connection.#greet();
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  async #greet(): Promise<void> {
    const types = (await this.call(program.remote, procedure.authList)).array((r) => r.i32());
    // 0 none, 1 SASL, 2 polkit; over a unix socket polkit asks the daemon's own rules and carries no data
    if (types.includes(2) && !types.includes(0)) await this.call(program.remote, procedure.authPolkit);
    else if (types.length > 0 && !types.includes(0)) throw new LibvirtUnavailable('libvirt asks for SASL, which is not supported on a local socket');
    await this.call(program.remote, procedure.connectOpen, new XdrWriter().optionalString(this.#options.uri).u32(0));
    const featureKeepAlive = 11; // VIR_DRV_FEATURE_PROGRAM_KEEPALIVE
    if (this.#options.keepAliveMs === 0) return;
    if ((await this.call(program.remote, procedure.connectSupportsFeature, new XdrWriter().i32(featureKeepAlive))).i32() === 0) return;
    this.#keepAliveTimer = setInterval(() => this.#ask(), this.#options.keepAliveMs);
    this.#keepAliveTimer.unref();
  }

  #ask(): void {
    if (++this.#silentRounds > 2) return this.#close(new LibvirtUnavailable('libvirt stopped answering'));
    this.#send(program.keepAlive, keepAlive.ping, messageType.message, 0, Buffer.alloc(0));
  }

  get open(): boolean {
    return this.#closed === undefined;
  }

  /** Rejects with LibvirtError (the daemon's answer) or LibvirtUnavailable (none). */
  call(programNumber: number, procedureNumber: number, args?: XdrWriter, timeoutMs = this.#options.callTimeoutMs): Promise<XdrReader> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    const serial = this.#serial;
    this.#serial = (serial % 0x7fffffff) + 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(serial);
        reject(new LibvirtUnavailable(`libvirt did not answer procedure ${procedureNumber} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#pending.set(serial, { resolve, reject, timer });
      this.#send(programNumber, procedureNumber, messageType.call, serial, args?.toBuffer() ?? Buffer.alloc(0));
    });
  }

  #send(programNumber: number, procedureNumber: number, type: number, serial: number, body: Buffer): void {
    const header = Buffer.alloc(headerLength);
    [headerLength + body.length, programNumber, 1, procedureNumber, type, serial, 0].forEach((value, i) => header.writeUInt32BE(value, i * 4));
    this.#socket.write(Buffer.concat([header, body]));
  }

  #received(bytes: Buffer): void {
    this.#silentRounds = 0;
    this.#unread.push(bytes);
    this.#unreadLength += bytes.length;
    while (this.#unreadLength >= 4) {
      const first = this.#unread[0];
      if (first === undefined) return;
      if (first.length < 4) this.#unread = [Buffer.concat(this.#unread)];
      const length = (this.#unread[0] ?? first).readUInt32BE(0);
      if (length < headerLength || length > largestMessage) return this.#close(new LibvirtUnavailable(`libvirt sent a message of ${length} bytes`));
      if (this.#unreadLength < length) return;
      const all = this.#unread.length === 1 ? (this.#unread[0] ?? first) : Buffer.concat(this.#unread);
      this.#unreadLength = all.length - length;
      this.#unread = this.#unreadLength === 0 ? [] : [all.subarray(length)];
      try {
        this.#message(all.subarray(0, length));
      } catch (error) {
        return this.#close(new LibvirtUnavailable('libvirt sent a message that cannot be read', error));
      }
    }
  }

  #message(bytes: Buffer): void {
    const [programNumber = 0, , procedureNumber = 0, type = 0, serial = 0, status = 0] =
      [4, 8, 12, 16, 20, 24].map((at) => bytes.readUInt32BE(at));
    const body = new XdrReader(bytes.subarray(headerLength));
    if (programNumber === program.keepAlive) {
      if (procedureNumber === keepAlive.ping) this.#send(program.keepAlive, keepAlive.pong, messageType.message, 0, Buffer.alloc(0));
      return;
    }
    if (type === messageType.message) return this.#options.onEvent(procedureNumber, body);
    const pending = this.#pending.get(serial);
    if (type !== messageType.reply || pending === undefined) return; // the answer of a call that timed out
    this.#pending.delete(serial);
    clearTimeout(pending.timer);
    if (status === 0) return pending.resolve(body);
    const code = body.i32();
    const domain = body.i32();
    pending.reject(new LibvirtError(code, domain, body.optionalString() ?? 'no message'));
  }

  #close(reason: Error): void {
    if (this.#closed !== undefined) return;
    this.#closed = reason;
    clearInterval(this.#keepAliveTimer);
    this.#socket.destroy();
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(reason);
    }
    this.#pending.clear();
    this.#options.onClose(reason);
  }

  close(): void {
    this.#close(new LibvirtUnavailable('the connection to libvirt was closed'));
  }
}
