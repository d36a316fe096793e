import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { connect, migrate } from '@cumulet/db';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { freshDatabase } from '../harness/database.ts';

type Row = Readonly<Record<string, unknown>>;
const migrations = join(import.meta.dirname, '../../migrations');
/** Each is a whole cloud's database as it was on a day, `{table: rows}`: servers, volumes, images, networks, users, finished and failed tasks. */
const days = readdirSync(import.meta.dirname).filter((name) => name.endsWith('.json.gz'));
/** `table.column` whose value a migration turns into another one, and why. */
const turned: Readonly<Record<string, string>> = {};

describe.each(days)('the database of %s', (day) => {
  const old = JSON.parse(gunzipSync(readFileSync(join(import.meta.dirname, day))).toString()) as Readonly<Record<string, readonly Row[]>>;
  const { knex_migrations: applied = [], knex_migrations_lock: _, ...tables } = old;

  test('comes to today\'s schema with every row as it was', async () => {
    const { url, drop } = await freshDatabase({ migrated: false });
    const folder = mkdtempSync('/tmp/cumulet-migrations-');
    const client = new pg.Client(url);
    await client.connect();
    const up = async (directory: string) => {
      const db = connect({ url, pool: 1, name: 'older' });
      return migrate(db, url, directory).finally(() => db.destroy());
    };
    try {
      const files = applied.map((row) => String(row['name']));
      for (const file of ['support.ts', ...files]) symlinkSync(join(migrations, file), join(folder, file));
      expect(await up(folder)).toEqual(files);
      await load(client, tables);
      const after = readdirSync(migrations).filter((name) => /^\d{4}_/.test(name) && !files.includes(name)).toSorted();
      // knex wants to see what it has applied, and the rest.
      expect(await up(migrations)).toEqual(after);
      for (const [table, rows] of Object.entries(tables)) {
        const now = (await client.query<{ row: Row }>(`SELECT to_jsonb(t) AS row FROM ${pg.escapeIdentifier(table)} t`)).rows.map((r) => r.row);
        const kept = (row: Row) => Object.fromEntries(Object.entries(row).filter(([column]) => turned[`${table}.${column}`] === undefined));
        const missing = rows.filter((row) => !now.some((one) => contains(one, kept(row))));
        expect(missing, `rows of ${table} that are gone or have changed`).toEqual([]);
      }
    } finally {
      await client.end();
      await drop();
      rmSync(folder, { recursive: true });
    }
  });
});

/** Without triggers and foreign keys: the rows are consistent, and some of what triggers make is among them. */
async function load(client: pg.Client, tables: Readonly<Record<string, readonly Row[]>>): Promise<void> {
  await client.query('SET session_replication_role = replica');
  for (const [table, rows] of Object.entries(tables)) {
    const { rows: columns } = await client.query<{ name: string }>(
      `SELECT attname AS name FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''`, [table]);
    const list = columns.map((column) => pg.escapeIdentifier(column.name)).join(', ');
    const name = pg.escapeIdentifier(table);
    await client.query(`DELETE FROM ${name}`);
    await client.query(`INSERT INTO ${name} (${list}) OVERRIDING SYSTEM VALUE SELECT ${list} FROM jsonb_populate_recordset(NULL::${name}, $1)`, [JSON.stringify(rows)]);
  }
  await client.query('SET session_replication_role = origin');
}

const contains = (row: Row, part: Row): boolean => Object.entries(part).every(([column, value]) => Object.hasOwn(row, column) && same(row[column], value));
const isDocument = (value: unknown): value is Row => typeof value === 'object' && value !== null && !Array.isArray(value);
/** A document may have gained members. */
const same = (a: unknown, b: unknown): boolean => (isDocument(a) && isDocument(b) ? contains(a, b) : JSON.stringify(a) === JSON.stringify(b));
