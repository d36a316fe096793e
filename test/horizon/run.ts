import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startCloud, type TestCloud } from '../harness/cloud.ts';
import { eventually, runner } from '../harness/processes.ts';
import { Browser } from './browser.ts';
import { administratorForms, Forms, memberForms } from './forms.ts';
import { readAll } from './rest.ts';
import { walk, type Complaint } from './walk.ts';

/**
 * Horizon, unmodified, in front of `npm start` (simulated servers and networks): a member and an administrator fill in its main forms, its scripts' calls are made, and every page is opened.
 *
 *     apt-get install --no-install-recommends openstack-dashboard
 *     npm run test:horizon
 *
 * Prints what Horizon complained of; ends with 1 when there was anything.
 */
const installed = '/usr/lib/python3/dist-packages/openstack_dashboard';
if (!existsSync(installed)) { console.error('Horizon is not installed: apt-get install --no-install-recommends openstack-dashboard'); process.exit(2); }
const folder = mkdtempSync('/tmp/cumulet-horizon-');
const cloud = await startCloud({ env: { CUMULET_HYPERVISOR_DRIVER: 'fake', CUMULET_NETWORK_DRIVER: 'fake', CUMULET_PASSWORDS_ADMIN: 'admin', CUMULET_PASSWORDS_DEMO: 'demo' }, readyMs: 300_000 });
try {
  const port = await freePort();
  const printed: string[] = [];
  configure(folder, cloud);
  const horizon = await runner.spawn('/usr/bin/python3', ['-m', 'django', 'runserver', '--noreload', '--insecure', `127.0.0.1:${port}`], {
    cwd: folder, env: { PATH: '/usr/bin:/bin', PYTHONPATH: `${folder}:/usr/share/openstack-dashboard`, PYTHONDONTWRITEBYTECODE: '1', DJANGO_SETTINGS_MODULE: 'cumulet_dashboard' }, onLine: line => { printed.push(line); },
  });
  try {
    const site = `http://127.0.0.1:${port}`;
    await eventually(async () => (await fetch(`${site}/auth/login/`)).ok, 180_000, 'Horizon');
    const complaints = [...await visit(site, 'demo', memberForms, ['/project/', '/identity/']), ...await visit(site, 'admin', administratorForms, ['/admin/', '/identity/', '/project/'])];
    for (const c of complaints) console.log(`  ${c.where}: ${c.said}`);
    console.log(complaints.length === 0 ? 'no complaints' : `${complaints.length} complaints`);
    if (complaints.length > 0) { writeFileSync('/tmp/cumulet-horizon.log', printed.join('\n')); console.log('what Horizon printed: /tmp/cumulet-horizon.log'); process.exitCode = 1; }
  } finally {
    await horizon.stop('SIGTERM');
  }
} finally {
  await cloud.end();
  rmSync(folder, { recursive: true, force: true });
}

async function visit(site: string, user: string, forms: (f: Forms) => Promise<void>, starts: readonly string[]): Promise<Complaint[]> {
  const browser = new Browser(site);
  const began = Date.now();
  const first = await browser.logIn(user, user);
  const filled = new Forms(browser);
  await forms(filled);
  await readAll(filled, user === 'admin');
  const { pages, complaints } = await walk(browser, starts);
  console.log(`${user}: ${filled.sent} forms and calls, ${pages} pages in ${Math.round((Date.now() - began) / 1000)} s`);
  return [...first.messages.filter(m => m.startsWith('error')).map(said => ({ where: 'login', said })), ...filled.complaints, ...complaints].map(c => ({ where: `${user} ${c.where}`, said: c.said }));
}

/** Horizon's own settings with those of this site over them; pages come without the scripts, which are megabytes that nobody runs here. */
function configure(into: string, site: TestCloud): void {
  for (const empty of ['horizon/_scripts.html', 'horizon/_conf.html', 'horizon/_custom_head_js.html', 'horizon/client_side/_script_loader.html', '_stylesheets.html']) {
    mkdirSync(join(into, 'templates', empty, '..'), { recursive: true });
    writeFileSync(join(into, 'templates', empty), '');
  }
  mkdirSync(join(into, 'sessions'));
  writeFileSync(join(into, 'cumulet_dashboard.py'), readFileSync(new URL('./settings.py.in', import.meta.url), 'utf8').replaceAll('@FOLDER@', into).replaceAll('@AUTH_URL@', `http://127.0.0.1:${site.ports.identity}/v3`));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>(f => { server.listen(0, '127.0.0.1', f); });
  const { port } = server.address() as AddressInfo;
  await new Promise(f => { server.close(f); });
  return port;
}
