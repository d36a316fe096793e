import type { Runtime } from '@cumulet/service';
import { taskChannel, type TaskRow } from '@cumulet/tasks';
import { PassThrough, type Readable } from 'node:stream';
import { tasksById } from './store.ts';
import { operationView } from './views.ts';

export interface Feed {
  /** Server-sent events of the operations that `wanted` lets through, until the reader closes. */
  subscribe(wanted: (row: TaskRow) => boolean): Readable;
  close(): void;
}
/** A reader that lets this much pile up is cut off; it may come back and list. */
const mostUnread = 1_048_576;
const keepAliveMs = 15_000;

/** Hears every change of a task once, reads the rows of a burst in one query, and gives them to all readers. */
export async function openFeed(rt: Runtime): Promise<Feed> {
  const readers = new Map<PassThrough, (row: TaskRow) => boolean>();
  const changed = new Set<string>();
  let soon: NodeJS.Timeout | undefined;

  const send = (text: string, to: PassThrough) => {
    if (to.writableLength > mostUnread) to.destroy();
    else to.write(text);
  };
  const flush = async () => {
    soon = undefined;
    const ids = [...changed];
    changed.clear();
    for (const row of await tasksById(rt.db, ids)) {
      const text = `event: operation\nid: ${row.id}/${row.updated_at.getTime()}\ndata: ${JSON.stringify(operationView(rt.tasks, row))}\n\n`;
      for (const [reader, wanted] of readers) if (wanted(row)) send(text, reader);
    }
  };
  await rt.listener.listen(taskChannel, id => {
    if (readers.size === 0) return;
    changed.add(id);
    soon ??= setTimeout(() => void flush().catch((error: unknown) => rt.log.warn({ err: error }, 'changes of operations could not be read')), 20);
  }, () => { for (const reader of readers.keys()) send('event: gap\ndata: {}\n\n', reader); });
  const ticking = setInterval(() => { for (const reader of readers.keys()) send(': still here\n\n', reader); }, keepAliveMs);
  ticking.unref();
  return {
    subscribe(wanted) {
      const reader = new PassThrough();
      reader.write(': operations\n\n');
      readers.set(reader, wanted);
      reader.once('close', () => readers.delete(reader));
      return reader;
    },
    close() {
      clearInterval(ticking);
      clearTimeout(soon);
      for (const reader of readers.keys()) reader.end();
    },
  };
}
