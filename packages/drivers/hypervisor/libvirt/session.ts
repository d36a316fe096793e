import { Connection } from './connection.ts';
import { driverError, LibvirtError, LibvirtUnavailable } from './errors.ts';
import { domainEvent, procedure, program, readDomain, type DomainHandle } from './protocol.ts';
import { XdrWriter, type XdrReader } from './xdr.ts';
import type { Log } from '../../call.ts';

export interface SessionOptions {
  readonly socketPath: string;
  /** Default `qemu:///system`. */
  readonly uri?: string;
  readonly log: Log;
  /** Default 30,000. */
  readonly callTimeoutMs?: number;
  /** Default 5,000. */
  readonly keepAliveMs?: number;
}

export type LibvirtEvent =
  | { readonly kind: 'lifecycle'; readonly domain: DomainHandle; readonly event: number; readonly detail: number }
  | { readonly kind: 'deviceRemoved' | 'deviceRemovalFailed'; readonly domain: DomainHandle; readonly alias: string }
  | { readonly kind: 'blockJob'; readonly domain: DomainHandle; readonly device: string; readonly type: number; readonly status: number }
  | { readonly kind: 'jobCompleted'; readonly domain: DomainHandle }
  /** The connection is back after a loss. */
  | { readonly kind: 'gap' };

/**
 * A connection to the daemon that comes back by itself: a call opens it when it is away, and while anybody listens for events it is
 * reopened with growing pauses and the events are subscribed anew.
 */
export class Session {
  readonly #options: Required<SessionOptions>;
  readonly #listeners = new Set<(event: LibvirtEvent) => void>();
  #connection: Connection | undefined;
  #opening: Promise<Connection> | undefined;
  #closed = false;
  #lost = false;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = 100;

  constructor(options: SessionOptions) {
    this.#options = { uri: 'qemu:///system', callTimeoutMs: 30_000, keepAliveMs: 5_000, ...options };
  }

  get log(): Log {
    return this.#options.log;
  }

  /** `what` names the call for the log; a daemon's refusal becomes a DriverError. */
  async call(what: string, procedureNumber: number, args?: XdrWriter, timeoutMs?: number, programNumber: number = program.remote): Promise<XdrReader> {
    try {
      return await (await this.#open()).call(programNumber, procedureNumber, args, timeoutMs);
    } catch (error) {
      throw error instanceof LibvirtError ? driverError(error, what) : error;
    }
  }

  listen(listener: (event: LibvirtEvent) => void): () => void {
    this.#listeners.add(listener);
    if (this.#connection === undefined) this.#reconnectLater();
    return () => this.#listeners.delete(listener);
  }

  async #open(): Promise<Connection> {
    if (this.#closed) throw new LibvirtUnavailable('the driver was closed');
    if (this.#connection?.open) return this.#connection;
    this.#opening ??= this.#connect().finally(() => { this.#opening = undefined; });
    return this.#opening;
  }

  async #connect(): Promise<Connection> {
    // the callback can come before `open` returns: then there is nothing to lose yet
    const opened: { connection?: Connection } = {};
    const connection = await Connection.open({
      socketPath: this.#options.socketPath, uri: this.#options.uri,
      callTimeoutMs: this.#options.callTimeoutMs, keepAliveMs: this.#options.keepAliveMs,
      onEvent: (number, body) => this.#event(number, body),
      onClose: (reason) => this.#dropped(opened.connection, reason),
    });
    opened.connection = connection;
    for (const { id } of Object.values(domainEvent)) {
      // a null domain: events of every domain
      await connection.call(program.remote, procedure.domainEventRegister, new XdrWriter().i32(id).u32(0));
    }
    if (this.#closed) {
      connection.close();
      throw new LibvirtUnavailable('the driver was closed');
    }
    this.#connection = connection;
    this.#retryMs = 100;
    if (this.#lost) {
      this.#lost = false;
      this.#emit({ kind: 'gap' });
    }
    return connection;
  }

  #dropped(connection: Connection | undefined, reason: Error): void {
    if (this.#closed || connection === undefined || connection !== this.#connection) return;
    this.#connection = undefined;
    this.#lost = true;
    this.#options.log.warn({ err: reason, socketPath: this.#options.socketPath }, 'lost the connection to libvirt');
    this.#reconnectLater();
  }

  #reconnectLater(): void {
    if (this.#closed || this.#retry !== undefined || this.#listeners.size === 0) return;
    this.#retry = setTimeout(() => {
      this.#retry = undefined;
      this.#open().catch((error: unknown) => {
        this.#options.log.debug({ err: error }, 'libvirt is still away');
        this.#reconnectLater();
      });
    }, this.#retryMs);
    this.#retry.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, 5_000);
  }

  #event(number: number, body: XdrReader): void {
    body.i32(); // the registration's number
    switch (number) {
      case domainEvent.lifecycle.procedure:
        return this.#emit({ kind: 'lifecycle', domain: readDomain(body), event: body.i32(), detail: body.i32() });
      case domainEvent.deviceRemoved.procedure:
        return this.#emit({ kind: 'deviceRemoved', domain: readDomain(body), alias: body.string() });
      case domainEvent.deviceRemovalFailed.procedure:
        return this.#emit({ kind: 'deviceRemovalFailed', domain: readDomain(body), alias: body.string() });
      case domainEvent.blockJob.procedure:
        return this.#emit({ kind: 'blockJob', domain: readDomain(body), device: body.string(), type: body.i32(), status: body.i32() });
      case domainEvent.jobCompleted.procedure:
        return this.#emit({ kind: 'jobCompleted', domain: readDomain(body) });
      default:
    }
  }

  #emit(event: LibvirtEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        this.#options.log.error({ err: error, event }, 'a listener for hypervisor events failed');
      }
    }
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    this.#connection?.close();
    this.#listeners.clear();
  }
}
