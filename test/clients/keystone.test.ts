import { createServer, type AddressInfo } from 'node:net';
import { writeFileSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { identityCloud, type IdentityCloud } from '../harness/identity.ts';
import { runner } from '../harness/processes.ts';

/** Debian's openstackclient against identity alone: every command of it that keystone answers. No guest is needed for that. */
let cloud: IdentityCloud;
let url: string;
const folder = mkdtempSync('/tmp/cumulet-keystone-');
beforeAll(async () => {
  const port = await new Promise<number>(resolve => { const s = createServer().listen(0, '127.0.0.1', () => { const { port: free } = s.address() as AddressInfo; s.close(() => resolve(free)); }); });
  cloud = await identityCloud({ CUMULET_PORTS_IDENTITY: String(port) });
  await cloud.app.listen({ host: '127.0.0.1', port });
  url = `http://127.0.0.1:${port}/v3`;
});
afterAll(async () => { await cloud.close(); rmSync(folder, { recursive: true, force: true }); });

const environment = (who: string) => ({ OS_AUTH_URL: url, OS_IDENTITY_API_VERSION: '3', OS_USERNAME: who, OS_PASSWORD: who, OS_PROJECT_NAME: who, OS_USER_DOMAIN_ID: 'default', OS_PROJECT_DOMAIN_ID: 'default' });
/** Commands in one interactive session of the client: what each one printed. */
async function session(commands: readonly string[], env: Record<string, string> = environment('admin')): Promise<string[]> {
  const { stdout, stderr } = await runner.run('openstack', [], { timeoutMs: 120_000, env: { PATH: '/usr/bin:/bin', ...env }, input: `${commands.map(c => `${c}\n!echo @@`).join('\n')}\n` });
  const printed = stdout.split('@@').map(s => s.trim());
  if (printed.length <= commands.length) throw new Error(`${printed.length} answers to ${commands.length} commands:\n${stdout}\n${stderr}`);
  errors.push(...stderr.split('\n').map(l => l.trim()).filter(l => l !== ''));
  return printed.slice(0, commands.length);
}
const errors: string[] = [];
/** What the client complained of since the last time one asked. */
const complaints = () => errors.splice(0);
const parsed = (text: string | undefined) => JSON.parse(text ?? '') as Record<string, unknown> & Record<string, unknown>[];

test('user, group, domain, project', async () => {
  const said = await session([
    'user create ann --password pw --email a@b --enable -f json', 'user set ann --description d --ignore-lockout-failure-attempts', 'user show ann -f json', 'user list -f value -c Name', 'user set ann --disable', 'user delete ann',
    'group create g1 --description x -f json', 'group add user g1 demo', 'group contains user g1 demo', 'group list --user demo -f value -c Name', 'user list --group g1 -f value -c Name', 'group remove user g1 demo', 'group contains user g1 demo', 'group set g1 --name g2', 'group show g2 -f value -c description', 'group delete g2',
    'domain create d1 --description x -f json', 'domain list -f value -c Name', 'domain set d1 --disable', 'domain show d1 -f value -c enabled', 'domain delete d1',
    'project create p1 --description x --tag t1 --property k=v -f json', 'project create p2 --parent p1 -f json', 'project list --tags t1 -f value -c Name', 'project show p1 --children -f json', 'project set p1 --description y', 'project show p2 --parents -f json', 'project delete p2 p1', 'project list -f value -c Name',
  ]);
  expect(parsed(said[0])).toMatchObject({ name: 'ann', email: 'a@b', enabled: true, domain_id: 'default' });
  expect(parsed(said[2])).toMatchObject({ options: { ignore_lockout_failure_attempts: true } });
  expect(said[3]?.split('\n').toSorted()).toEqual(['admin', 'ann', 'demo', 'service']);
  expect([said[8], said[9], said[10], said[14]]).toEqual(['demo in group g1', 'g1', 'demo', 'x']);
  expect(said[17]?.split('\n').toSorted()).toEqual(['Default', 'd1']);
  expect(said[19]).toBe('False');
  expect(parsed(said[21])).toMatchObject({ name: 'p1', tags: ['t1'], k: 'v' });
  expect(said[23]).toBe('p1');
  expect(parsed(said[24])).toHaveProperty('subtree');
  expect(said[28]?.split('\n').toSorted()).toEqual(['admin', 'demo', 'service']);
  expect(complaints()).toEqual(['demo not in group g1']);
});

test('role, role assignment, implied role', async () => {
  const said = await session([
    'role create r1 --description x -f json', 'role add --project demo --user demo r1', 'role add --system all --user demo reader', 'role add --domain default --user demo member --inherited', 'role assignment list --user demo --names -f json',
    'role assignment list --effective --user demo --project service --names -f value -c Role', 'role assignment list --system all --names -f value -c User', 'role remove --project demo --user demo r1', 'role remove --system all --user demo reader', 'role remove --domain default --user demo member --inherited',
    'implied role create r1 --implied-role reader -f json', 'implied role list -f value', 'implied role delete r1 --implied-role reader', 'role set r1 --name r2', 'role show r2 -f value -c description', 'role delete r2', 'role list -f value -c Name', 'role delete admin',
  ]);
  expect(parsed(said[4]).map(a => `${a['Role']} ${a['Project']}${a['Domain']}${a['System']} ${a['Inherited']}`).toSorted()).toEqual(['member Default true', 'member demo@Default false', 'r1 demo@Default false', 'reader all false']);
  expect(said[5]?.split('\n').toSorted()).toEqual(['member', 'reader']);
  expect(said[6]?.split('\n').toSorted()).toEqual(['admin@Default', 'demo@Default']);
  expect(said[11]).toContain('r1');
  expect(said[14]).toBe('x');
  expect(said[16]?.split('\n').toSorted()).toEqual(['admin', 'manager', 'member', 'reader', 'service']);
  expect(complaints().join(' ')).toContain('Unable to delete immutable role resource');
});

test('token, application credential, access rule, credential, ec2 credentials, trust', async () => {
  const memberId = (await cloud.as(cloud.adminToken)('GET', '/v3/roles?name=member')).body.roles[0].id as string;
  const rules = join(folder, 'rules.json');
  writeFileSync(rules, JSON.stringify([{ service: 'identity', method: 'GET', path: '/v3/auth/projects' }]));
  const said = await session([
    'token issue -f json', `application credential create ac1 --role member --secret s3cret --access-rules ${rules} -f json`, 'application credential list -f json', 'application credential show ac1 -f value -c name', 'access rule list -f json', 'application credential create ac2 --unrestricted --expiration 2099-01-01T00:00:00 -f json',
    // A user who may not list users names them by id.
    `credential create --type cert ${cloud.users.demo} data --project ${cloud.projects.demo} -f json`, 'credential list --type cert -f json', 'ec2 credentials create -f json', 'ec2 credentials list -f json', `trust create --project ${cloud.projects.demo} --role ${memberId} ${cloud.users.demo} ${cloud.users.admin} -f json`, 'trust list -f json',
  ], environment('demo'));
  expect(parsed(said[0])).toMatchObject({ project_id: cloud.projects.demo, user_id: cloud.users.demo });
  const app = parsed(said[1]);
  expect(app).toMatchObject({ name: 'ac1', secret: 's3cret', roles: 'member reader', unrestricted: false });
  expect(parsed(said[2]).map(a => a['Name'])).toEqual(['ac1']);
  expect(parsed(said[4])[0]).toMatchObject({ Service: 'identity', Method: 'GET', Path: '/v3/auth/projects' });
  expect(parsed(said[5])).toMatchObject({ unrestricted: true, expires_at: '2099-01-01T00:00:00.000000' });
  expect(parsed(said[7])[0]).toMatchObject({ Type: 'cert', Data: 'data' });
  const ec2 = parsed(said[8]);
  expect(parsed(said[9])[0]).toMatchObject({ Access: ec2['access'], Secret: ec2['secret'] });
  const trust = parsed(said[10]);
  expect(trust).toMatchObject({ roles: 'member', impersonation: false });
  // A user may not list all trusts; upstream says so too.
  expect(complaints().join(' ')).toContain('identity:list_trusts');
  const more = await session([`application credential delete ac1 ac2`, `access rule delete ${parsed(said[4])[0]?.['ID']}`, `credential delete ${parsed(said[6])['id']}`, `ec2 credentials show ${ec2['access']} -f value -c secret`, `ec2 credentials delete ${ec2['access']}`, `trust show ${trust['id']} -f value -c roles`, `trust delete ${trust['id']}`, `token revoke ${parsed(said[0])['id']}`], environment('demo'));
  expect([more[3], more[5]]).toEqual([ec2['secret'], 'member']);
  expect(complaints()).toEqual([]);
  expect((await cloud.as(String(parsed(said[0])['id']))('GET', '/v3/auth/projects')).status).toBe(401);
});

test('an application credential logs in by itself', async () => {
  const [made] = await session(['application credential create robot -f json'], environment('demo'));
  const { id, secret } = parsed(made) as unknown as { id: string; secret: string };
  const [token] = await session(['token issue -f json'], { OS_AUTH_URL: url, OS_AUTH_TYPE: 'v3applicationcredential', OS_APPLICATION_CREDENTIAL_ID: id, OS_APPLICATION_CREDENTIAL_SECRET: secret });
  expect(parsed(token)['project_id']).toBe(cloud.projects.demo);
  expect(complaints()).toEqual([]);
});

test('service, endpoint, endpoint group, region, limit, registered limit, policy, catalog', async () => {
  const said = await session([
    'service create --name s1 --description x stype -f json', 'endpoint create s1 public http://x --region RegionOne -f json', 'endpoint list --service s1 -f json', 'service set s1 --disable', 'service show s1 -f value -c enabled', 'region create r9 --parent-region RegionOne -f json', 'region set r9 --description y', 'region list -f value -c Region', 'region delete r9',
    'registered limit create --service keystone --default-limit 10 volumes -f json', 'limit create --project demo --service keystone --resource-limit 5 volumes -f json', 'limit list -f json', 'registered limit list -f json', 'policy create rules.txt', `policy create --type text ${join(folder, 'rules.json')} -f json`, 'policy list -f value -c Type', 'catalog list -f json',
    'endpoint group create eg1 /dev/null', 'service delete s1',
  ]);
  expect(parsed(said[2])[0]).toMatchObject({ 'Service Name': 's1', Interface: 'public', URL: 'http://x' });
  expect(said[4]).toBe('False');
  expect(said[7]?.split('\n').toSorted()).toEqual(['RegionOne', 'r9']);
  expect(parsed(said[11])[0]).toMatchObject({ 'Resource Name': 'volumes', 'Resource Limit': 5 });
  const limit = parsed(said[10])['id'] as string;
  const registered = parsed(said[9])['id'] as string;
  expect(said[15]).toBe('text');
  expect(parsed(said[16]).map(c => c['Type'])).toContain('identity');
  complaints();
  const more = await session([`limit set --resource-limit 7 ${limit} -f json`, `registered limit delete ${registered}`, `limit delete ${limit}`, `registered limit set --default-limit 3 ${registered} -f json`, `registered limit delete ${registered}`, `policy delete ${parsed(said[14])['id']}`]);
  expect(parsed(more[0])['resource_limit']).toBe(7);
  expect(parsed(more[3])['default_limit']).toBe(3);
  expect(complaints().join(' ')).toContain('Failed to delete registered limit');
});

test('what is not configured is said clearly', async () => {
  const said = await session(['identity provider list', 'mapping list', 'service provider list', 'consumer list', 'identity provider create x', 'federation protocol list --identity-provider x', 'consumer create', 'federation project list -f value -c Name']);
  expect(said.slice(0, 4)).toEqual(['', '', '', '']);
  const complained = complaints().join('\n');
  expect(complained).toContain('Federation is not configured in this cloud. (HTTP 501)');
  expect(complained).toContain('Could not find Identity Provider: x. (HTTP 404)');
  expect(complained).toContain('OAuth1 is not configured in this cloud. (HTTP 501)');
});

test('a wrong password, a project one is not in, and what only an administrator may', async () => {
  const [wrong, strange, refused] = [await runner.run('openstack', ['token', 'issue'], { okExitCodes: [1], env: { PATH: '/usr/bin:/bin', ...environment('demo'), OS_PASSWORD: 'x' } }), await runner.run('openstack', ['token', 'issue'], { okExitCodes: [1], env: { PATH: '/usr/bin:/bin', ...environment('demo'), OS_PROJECT_NAME: 'admin' } }), await runner.run('openstack', ['user', 'create', 'x'], { okExitCodes: [1], env: { PATH: '/usr/bin:/bin', ...environment('demo') } })];
  expect(wrong.stderr).toContain('The request you have made requires authentication. (HTTP 401)');
  expect(strange.stderr).toContain('(HTTP 401)');
  expect(refused.stderr).toContain('You are not authorized to perform the requested action: identity:create_user. (HTTP 403)');
});
