import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Db } from '@cumulet/db';

/** Everything that is somewhere and should not be, or the other way round: rows, driver state, files and counters compared. Empty when all is well. */
export async function leftovers(db: Db, home: string): Promise<string[]> {
  const wrong: string[] = [];
  const note = (what: string, rows: readonly unknown[]) => { for (const row of rows) wrong.push(`${what}: ${JSON.stringify(row)}`); };
  const ask = async (sql: string): Promise<Record<string, unknown>[]> => (await db.raw(sql)).rows as Record<string, unknown>[];

  note('a live task', await ask('select plan, state, step, resource_id from tasks where live'));
  note('a task with something left behind', await ask(`select plan, resource_id, error from tasks where error -> 'leftovers' is not null`));
  const tables = await ask(`select table_name as name from information_schema.columns where table_schema = 'public' and column_name = 'task_live'`);
  for (const { name } of tables) note(`${String(name)} in a transitional state`, await ask(`select id from ${String(name)} where task_id is not null`));

  note('a port of no server', await ask(`select id, device_id, device_owner from ports where device_owner like 'compute:%' and not exists (select from servers s where s.id::text = device_id and not s.deleted)`));
  note('a server without its port', await ask(`select p.server_id from server_ports p join servers s on s.id = p.server_id where not s.deleted and not exists (select from ports where id = p.port_id)`));
  note('an address of no port', await ask('select ip from ip_allocations a where not exists (select from ports where id = a.port_id)'));
  note('an allocation of a server that is on no host', await ask('select a.* from allocations a join servers s on s.id = a.server_id where s.deleted or s.host is null'));
  note('a server without its allocation', await ask('select id, vm_state from servers s where not deleted and host is not null and not exists (select from allocations where server_id = s.id)'));
  note('an attachment of no server', await ask('select id, volume_id from volume_attachments a where server_id is not null and not exists (select from servers s where s.id = a.server_id and not s.deleted)'));
  note('an attachment that no server knows', await ask('select id, volume_id from volume_attachments a where by_compute and not exists (select from block_devices where attachment_id = a.id)'));
  note('a volume in use without an attachment', await ask(`select id, status from volumes v where status in ('in-use', 'reserved', 'attaching', 'detaching') and not exists (select from volume_attachments where volume_id = v.id)`));
  note('an image of a shelved server that is gone', await ask(`select id, name, status from images i where name like '%-shelved' and status not in ('deleted', 'pending_delete') and not exists (select from servers where shelved_image_id = i.id::text)`));

  note('usage that is not what the rows say', await ask(`
    with facts as (
      select 'compute' service, project_id, 'instances' resource, count(*)::bigint n from servers where not deleted group by 2
      union all select 'compute', project_id, 'cores', sum(vcpus) from servers where not deleted group by 2
      union all select 'compute', project_id, 'ram', sum(memory_mb) from servers where not deleted group by 2
      union all select 'volume', project_id, 'volumes', count(*) from volumes where consumes_quota group by 2
      union all select 'volume', project_id, 'gigabytes', sum(size) from (select project_id, size from volumes where consumes_quota union all select project_id, size from volume_snapshots where consumes_quota) x group by 2
      union all select 'network', project_id, 'port', count(*) from ports where project_id <> '' group by 2),
    counted as (select service, project_id, key resource, value::bigint n from quota_usage, jsonb_each_text(used) where key in ('instances', 'cores', 'ram', 'volumes', 'gigabytes', 'port'))
    select coalesce(f.service, c.service) service, coalesce(f.project_id, c.project_id) project_id, coalesce(f.resource, c.resource) resource, f.n facts, c.n counted
    from facts f full join counted c on c.service = f.service and c.project_id = f.project_id and c.resource = f.resource where coalesce(f.n, 0) <> coalesce(c.n, 0)`));

  const ids = async (sql: string) => (await ask(sql)).map((row) => String(row['id'])).toSorted();
  const compare = (what: string, there: readonly string[], wanted: readonly string[]) => {
    note(`${what} of nothing`, there.filter((id) => !wanted.includes(id)));
    note(`${what} missing`, wanted.filter((id) => !there.includes(id)));
  };
  compare('a domain', guests(home), await ids('select id from servers where not deleted and host is not null'));
  // What was migrated or managed keeps the name of its file.
  const file = `coalesce(substring(backend_name from '[0-9a-f]{8}-[0-9a-f-]{27}'), id::text)`;
  compare('a volume file', uuidsIn(join(home, 'volumes')), await ids(`select ${file} id from volumes where status not like 'error%' union select ${file} from volume_snapshots where status not like 'error%'`));
  // What could not be removed at once is written down, and tried again.
  const remembered = (await ask('select url from image_leftovers')).map((row) => String(row['url']).split('/').at(-1));
  // Each store has a folder of its own, or the only one has it whole.
  const copies = await ask(`select i.id, l ->> 'url' url from images i, jsonb_array_elements(i.locations) l where i.status in ('active', 'deactivated')`);
  const folders = [...new Set(copies.map(({ url }) => dirname(fileURLToPath(String(url)))))];
  compare('an image file', uuidsIn(join(home, 'images')).filter((id) => !remembered.includes(id)), [...new Set(copies.map(({ id }) => String(id)))].toSorted());
  for (const folder of folders) compare(`an image file in ${folder}`, uuidsIn(folder).filter((id) => !remembered.includes(id)), copies.filter(({ url }) => dirname(fileURLToPath(String(url))) === folder).map(({ id }) => String(id)).toSorted());
  note('an encrypted volume without its key', await ask('select id, status from volumes v where encryption_key_id is not null and not exists (select from volume_keys k where k.id = v.encryption_key_id)'));
  note('a volume that is offered in no transfer', await ask(`select id from volumes v where status = 'awaiting-transfer' and not exists (select from volume_transfers where volume_id = v.id)`));
  for (const folder of ['snapshots', 'scratch', 'staging']) note(`a file in ${folder}`, filesIn(join(home, folder)));
  return wrong;
}

const filesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)) : []);
/** Of a name with several, such as a snapshot's, the last one is its own. */
const uuidsIn = (folder: string): string[] => [...new Set(filesIn(folder).flatMap((name) => name.match(/[0-9a-f]{8}-[0-9a-f-]{27}/g)?.at(-1) ?? []))].toSorted();
/** What the fake hypervisor has, as its own files say. */
const guests = (home: string): string[] => uuidsIn(join(home, 'fake-hypervisor'));
