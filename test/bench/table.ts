/** What bench.mjs writes: milliseconds, requests per second, megabytes per second. */
export type Results = Readonly<Record<string, { readonly p50_ms?: number; readonly rps?: number; readonly servers_per_s?: number; readonly volumes_per_s?: number; readonly median_MBps?: number }>>;

type Unit = 'ms' | '/s' | 'MB/s';
export interface Row { readonly what: string; readonly unit: Unit; readonly here: number | undefined; readonly peer: number; /** How many times better; below 1 is worse. */ readonly times: number | undefined }

const field = { ms: 'p50_ms', '/s': 'rps', 'MB/s': 'median_MBps' } as const;

/** Where each figure of the peer's table is among the results: a row's n-th figure, the result's name (its beginning), its unit. */
const figures: readonly (readonly [row: string, column: 1 | 2, nth: number, result: string, unit: Unit, rate?: 'servers_per_s' | 'volumes_per_s'])[] = [
  ['token issue', 1, 0, 'token issue c=1', 'ms'], ['token issue', 1, 1, 'token validate (GET /auth/tokens) c=1', 'ms'],
  ['token issue', 2, 0, 'token issue c=16', '/s'], ['token issue', 2, 1, 'token validate (GET /auth/tokens) c=16', '/s'],
  ['image list', 1, 0, 'image list (100) c=1', 'ms'], ['image list', 1, 1, 'image show c=1', 'ms'], ['image list', 2, 0, 'image list (100) c=16', '/s'], ['image list', 2, 1, 'image show c=16', '/s'],
  ['image upload', 2, 0, 'image upload 1 GiB', 'MB/s'], ['image upload', 2, 1, 'image download 1 GiB', 'MB/s'],
  ['server list', 1, 0, 'server list detail (100) c=1', 'ms'], ['server list', 1, 1, 'server show c=1', 'ms'], ['server list', 2, 0, 'server list detail (100) c=16', '/s'], ['server list', 2, 1, 'server show c=16', '/s'],
  ['server create', 1, 0, 'server create->ACTIVE, serial', 'ms'], ['server create', 1, 1, 'server create->ACTIVE, 20 parallel', 'ms'], ['server create', 2, 0, 'server create->ACTIVE, 20 parallel', '/s', 'servers_per_s'],
  ['lock', 1, 0, 'server lock', 'ms'], ['lock', 1, 1, 'server unlock', 'ms'],
  ['volume list', 1, 0, 'volume list detail (200) c=1', 'ms'], ['volume list', 1, 1, 'volume show c=1', 'ms'], ['volume list', 2, 0, 'volume list detail (200) c=16', '/s'], ['volume list', 2, 1, 'volume show c=16', '/s'],
  ['volume create', 1, 0, 'volume create->available, serial', 'ms'], ['volume create', 1, 1, 'volume create->available, 50 parallel', 'ms'], ['volume create', 2, 0, 'volume create->available, 50 parallel', '/s', 'volumes_per_s'],
  ['snapshot create', 1, 0, 'snapshot create->available', 'ms'], ['snapshot create', 1, 1, 'volume extend', 'ms'], ['snapshot create', 1, 2, 'transfer accept', 'ms'],
  ['backup create', 1, 0, 'backup create->available', 'ms'], ['backup create', 1, 1, 'backup restore->available', 'ms'], ['backup export', 1, 0, 'backup export_record', 'ms'], ['backup export', 1, 1, 'backup import_record->available', 'ms'],
];

/** Results beside the peer's figures, which are read from the table in its README: numbers in a cell are separated by ` / `. */
export function ratio(results: Results, readme: string): Row[] {
  const rows = readme.split('\n').filter((line) => line.startsWith('| ')).map((line) => line.split('|').slice(1, -1).map((cell) => cell.trim()));
  return figures.map(([row, column, nth, result, unit, rate]) => {
    const cells = rows.find(([name]) => name?.startsWith(row));
    const peer = numbers(cells?.[column] ?? '')[nth];
    if (peer === undefined) throw new Error(`the peer's table has no figure ${nth + 1} in column ${column} of "${row}"`);
    const [, found] = Object.entries(results).find(([name]) => name.startsWith(result)) ?? [];
    const here = found?.[rate ?? field[unit]];
    return { what: `${result}${rate ? ', rate' : ''}`, unit, here, peer, times: here === undefined ? undefined : unit === 'ms' ? peer / here : here / peer };
  });
}

const numbers = (cell: string): number[] => cell.split(' / ').map((part) => Number.parseFloat(part.replaceAll(',', ''))).filter((n) => !Number.isNaN(n));

export function table(rows: readonly Row[]): string {
  const figure = (n: number | undefined) => (n === undefined ? '–' : n >= 100 ? n.toFixed(0) : n.toFixed(1));
  return ['| what | unit | Cumulet | peer | times better |', '|---|---|---|---|---|', ...rows.map((r) => `| ${r.what} | ${r.unit} | ${figure(r.here)} | ${figure(r.peer)} | ${figure(r.times)} |`)].join('\n');
}
