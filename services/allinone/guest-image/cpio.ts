import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** A folder as an initramfs: cpio's "newc" format, everything owned by root. */
export function cpio(folder: string): Buffer {
  const parts: Buffer[] = [];
  let inode = 1;
  const entry = (name: string, mode: number, data: Buffer) => {
    const fields = [inode++, mode, 0, 0, 1, 0, data.length, 0, 0, 0, 0, Buffer.byteLength(name) + 1, 0];
    const header = `070701${fields.map((n) => n.toString(16).padStart(8, '0')).join('')}${name}\0`;
    parts.push(padded(Buffer.from(header)), padded(data));
  };
  const walk = (path: string) => {
    for (const name of readdirSync(join(folder, path)).toSorted()) {
      const inside = path === '' ? name : `${path}/${name}`;
      const file = join(folder, inside);
      const stat = lstatSync(file);
      if (stat.isSymbolicLink()) entry(inside, stat.mode, Buffer.from(readlinkSync(file)));
      else if (stat.isDirectory()) {
        entry(inside, stat.mode, Buffer.alloc(0));
        walk(inside);
      } else entry(inside, stat.mode, readFileSync(file));
    }
  };
  walk('');
  entry('TRAILER!!!', 0, Buffer.alloc(0));
  return Buffer.concat(parts);
}

const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
