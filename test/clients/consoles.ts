/** A guest's console through the WebSocket proxy. Rejects when it is not let in. */
export function dial(url: string, headers: Readonly<Record<string, string>> = {}): Promise<WebSocket> {
  const ws = new WebSocket(url, { protocols: ['binary'], headers });
  ws.binaryType = 'arraybuffer';
  return new Promise((done, failed) => {
    ws.addEventListener('open', () => { done(ws); }, { once: true });
    ws.addEventListener('error', () => { failed(new Error(`${url} did not open`)); }, { once: true });
  });
}
export const refusedDial = (url: string, headers: Readonly<Record<string, string>>): Promise<boolean> => dial(url, headers).then(ws => { ws.close(); return false; }, () => true);

/** What has come and nobody has taken yet. */
class Incoming {
  #bytes = Buffer.alloc(0);
  #ended = false;
  #woken: () => void = () => undefined;
  constructor(ws: WebSocket) {
    ws.addEventListener('message', ({ data }) => { this.#bytes = Buffer.concat([this.#bytes, Buffer.from(data as ArrayBuffer)]); this.#woken(); });
    ws.addEventListener('close', () => { this.#ended = true; this.#woken(); });
  }
  /** Waits until `take` finds what it wants in the bytes; it says how many it used. */
  async take<T>(take: (bytes: Buffer) => { used: number; value: T } | undefined, what: string, timeoutMs = 60_000): Promise<T> {
    for (const end = performance.now() + timeoutMs; ;) {
      const found = take(this.#bytes);
      if (found !== undefined) { this.#bytes = this.#bytes.subarray(found.used); return found.value; }
      if (this.#ended || performance.now() > end) throw new Error(`no ${what} in: ${this.#bytes.subarray(-500).toString('latin1')}`);
      await new Promise<void>(go => { this.#woken = go; setTimeout(go, 500); });
    }
  }
  bytes(count: number, what: string): Promise<Buffer> { return this.take(b => (b.length < count ? undefined : { used: count, value: Buffer.from(b.subarray(0, count)) }), what); }
}

/** A terminal at a guest's serial port. */
export class Serial {
  readonly #ws: WebSocket;
  readonly #in: Incoming;
  constructor(ws: WebSocket) { this.#ws = ws; this.#in = new Incoming(ws); }
  #type(text: string): void { this.#ws.send(Buffer.from(`${text}\r`)); }
  #until(pattern: RegExp, what: string): Promise<RegExpExecArray> {
    return this.#in.take(bytes => { const m = pattern.exec(bytes.toString('latin1')); return m ? { used: m.index + m[0].length, value: m } : undefined; }, what);
  }
  async login(user: string, password: string): Promise<void> {
    this.#type('');
    await this.#until(/login: $/, 'login prompt');
    this.#type(user);
    await this.#until(/assword: $/, 'password prompt');
    this.#type(password);
    await this.#until(/[#$] /, 'shell');
  }
  /** What a command prints, at a shell that is open already. */
  async run(command: string): Promise<string> {
    // The echo of what was typed has the marks with quotes in between.
    this.#type(`echo 'BE''GIN'; ${command}; echo 'E''ND'`);
    const [, said = ''] = await this.#until(/BEGIN\r?\n([\s\S]*?)\r?\nEND\r?\n/, 'answer');
    return said.replaceAll('\r', '').trim();
  }
  close(): void { this.#ws.close(); }
}

/** A viewer, as far as RFB 3.8 (RFC 6143) without a password goes. */
export class Screen {
  readonly #ws: WebSocket;
  readonly #in: Incoming;
  constructor(ws: WebSocket) { this.#ws = ws; this.#in = new Incoming(ws); }
  async open(): Promise<{ width: number; height: number; name: string }> {
    const version = (await this.#in.bytes(12, 'version')).toString();
    if (!version.startsWith('RFB 003.008')) throw new Error(`it speaks ${version}`);
    this.#ws.send(Buffer.from(version));
    const [count = 0] = await this.#in.bytes(1, 'security types');
    const types = await this.#in.bytes(count, 'security types');
    if (!types.includes(1)) throw new Error(`it wants one of ${[...types].join()}`);
    this.#ws.send(Buffer.from([1]));
    if ((await this.#in.bytes(4, 'security result')).readUInt32BE() !== 0) throw new Error('it does not let us in');
    this.#ws.send(Buffer.from([1]));   // others may watch, too
    const init = await this.#in.bytes(24, 'screen');
    const name = (await this.#in.bytes(init.readUInt32BE(20), 'name')).toString();
    return { width: init.readUInt16BE(0), height: init.readUInt16BE(2), name };
  }
  /** Asks for the whole screen as raw pixels; the bytes of the first rectangle. */
  async update(width: number, height: number): Promise<number> {
    const encodings = Buffer.from([2, 0, 0, 1, 0, 0, 0, 0]);
    const request = Buffer.alloc(10);
    request[0] = 3;
    request.writeUInt16BE(width, 6);
    request.writeUInt16BE(height, 8);
    this.#ws.send(Buffer.concat([encodings, request]));
    const head = await this.#in.bytes(16, 'update');
    return (await this.#in.bytes(head.readUInt16BE(8) * head.readUInt16BE(10) * 4, 'pixels')).length;
  }
  close(): void { this.#ws.close(); }
}
