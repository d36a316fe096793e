import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { writePrivate, type Passwords } from './passwords.ts';

/** What clients read. They are there only while the cloud can be used. Who waits for one waits for `openrc`: it comes last. */
const files = ['clouds.yaml', 'openrc-demo', 'openrc'] as const;

export interface Access {
  /** `http://127.0.0.1:5000/v3` */
  readonly authUrl: string;
  readonly region: string;
  readonly passwords: Passwords;
}

interface Login { readonly username: string; readonly password: string; readonly project_name: string }

export function writeCredentials(home: string, access: Access): void {
  const admin: Login = { username: 'admin', password: access.passwords.admin, project_name: 'admin' };
  const demo: Login = { username: 'demo', password: access.passwords.demo, project_name: 'demo' };
  const contents = {
    'clouds.yaml': stringify({ clouds: { 'cumulet-admin': cloud(access, admin), cumulet: cloud(access, demo) } }),
    'openrc-demo': openrc(access, demo),
    openrc: openrc(access, admin),
  } satisfies Record<(typeof files)[number], string>;
  for (const file of files) writePrivate(join(home, file), contents[file]);
}

export function removeCredentials(home: string): void {
  for (const file of files) rmSync(join(home, file), { force: true });
}

const cloud = ({ authUrl, region }: Access, login: Login) => ({
  auth: { auth_url: authUrl, ...login, user_domain_id: 'default', project_domain_id: 'default' },
  region_name: region, interface: 'public', identity_api_version: 3, volume_api_version: 3,
});

/** Variables of another cloud that would change what these mean are unset. */
const others = ['OS_CLOUD', 'OS_TOKEN', 'OS_AUTH_TYPE', 'OS_USER_ID', 'OS_PROJECT_ID', 'OS_TENANT_ID', 'OS_TENANT_NAME', 'OS_SYSTEM_SCOPE', 'OS_DOMAIN_ID', 'OS_DOMAIN_NAME',
  'OS_USER_DOMAIN_NAME', 'OS_PROJECT_DOMAIN_NAME', 'OS_APPLICATION_CREDENTIAL_ID', 'OS_APPLICATION_CREDENTIAL_SECRET', 'OS_CACERT'];

function openrc({ authUrl, region }: Access, login: Login): string {
  const set = {
    OS_AUTH_URL: authUrl, OS_USERNAME: login.username, OS_PASSWORD: login.password, OS_PROJECT_NAME: login.project_name,
    OS_USER_DOMAIN_ID: 'default', OS_PROJECT_DOMAIN_ID: 'default', OS_REGION_NAME: region, OS_INTERFACE: 'public',
    OS_IDENTITY_API_VERSION: '3', OS_IMAGE_API_VERSION: '2', OS_VOLUME_API_VERSION: '3',
  };
  return `unset ${others.join(' ')}\n${Object.entries(set).map(([name, value]) => `export ${name}=${quoted(value)}\n`).join('')}`;
}

const quoted = (value: string) => (/^[\w@%+=:,./-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`);
