import { Unauthorized } from '@cumulet/wire';
import { expected } from '../faults.ts';
import type { Identity } from '../identity.ts';
import * as projects from '../projects/store.ts';
import type { ProjectRow } from '../projects/store.ts';
import * as users from '../users/store.ts';
import type { UserRow } from '../users/store.ts';
import type { DomainBody, ProjectBody, UserBody } from './schemas.ts';

/** Look-ups of a login. What is not there or disabled is a plain 401: a stranger learns nothing of it. */
export async function domainOf(identity: Identity, body: DomainBody): Promise<ProjectRow> {
  if (!body.id && !body.name) throw expected('id or name', 'domain');
  const domain = body.name ? await projects.findDomainByName(identity.db, body.name) : await projects.findDomain(identity.db, body.id as string);
  if (!domain?.enabled) throw new Unauthorized();
  return domain;
}

export async function projectOf(identity: Identity, body: ProjectBody): Promise<ProjectRow> {
  let project: ProjectRow | undefined;
  if (body.name) {
    if (!body.domain) throw expected('domain', 'project');
    project = await projects.findByName(identity.db, (await domainOf(identity, body.domain)).id, body.name);
  } else if (body.id) {
    project = await projects.find(identity.db, body.id);
    if (project?.domain_id) await domainOf(identity, { id: project.domain_id });
  } else throw expected('id or name', 'project');
  // A project that acts as a domain is no project to be scoped to.
  if (!project?.enabled || project.domain_id === null) throw new Unauthorized();
  return project;
}

/** The user that a login names; undefined when there is none, so that the password is still checked against something. */
export async function userOf(identity: Identity, body: UserBody | undefined, method: string): Promise<UserRow | undefined> {
  if (!body) throw expected('user', method);
  if (!body.id && !body.name) throw expected('id or name', 'user');
  if (body.name) {
    if (!body.domain) throw expected('domain', 'user');
    if (!body.domain.id && !body.domain.name) throw expected('id or name', 'domain');
    const domain = body.domain.name ? await projects.findDomainByName(identity.db, body.domain.name) : await projects.findDomain(identity.db, body.domain.id as string);
    return domain?.enabled ? users.findByName(identity.db, domain.id, body.name) : undefined;
  }
  const user = await users.find(identity.db, body.id as string);
  const domain = user && await projects.findDomain(identity.db, user.domain_id);
  return domain?.enabled ? user : undefined;
}
