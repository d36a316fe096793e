import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { newHexId, shape, Unauthorized } from '@cumulet/wire';
import { z } from 'zod';
import { about } from '../asking.ts';
import { absent, forbidden } from '../faults.ts';
import { insert, reaches, refuseRestricted } from '../credentials/service.ts';
import { find, idOfAccessKey, unsealed, type CredentialRow } from '../credentials/store.ts';
import { find as findProject } from '../projects/store.ts';
import type { Identity } from '../identity.ts';
import { links, self } from '../listing.ts';
import { tokenView } from '../tokens/view.ts';
import { authenticate, type Keys } from './service.ts';

const Ec2Create = shape('Ec2Create', z.looseObject({ tenant_id: z.string() }));
const Signed = shape('SignedRequest', z.looseObject({}));

export function ec2Routes(identity: Identity): Operation[] {
  const { db } = identity;
  const view = (ctx: Context, row: CredentialRow) => {
    const keys = JSON.parse(unsealed(identity, row)) as Keys;
    return { user_id: row.user_id, tenant_id: row.project_id, access: keys.access, secret: keys.secret, trust_id: keys.trust_id ?? null, links: self(ctx, `users/${row.user_id}/credentials/OS-EC2/${keys.access}`) };
  };
  const mustExist = async (ctx: Context) => {
    const id = ctx.params['user_id'] as string;
    if (!(await db('users').where({ id }).first('id'))) throw absent('user', id);
  };
  const permitted = async (ctx: Context): Promise<CredentialRow> => {
    const access = ctx.params['credential_id'] as string;
    const row = await find(db, idOfAccessKey(access));
    // Upstream looks before it asks here, so that what is gone is a 404 for everyone. The key itself is the secret that one would have to guess.
    if (!row) throw absent('credential', access);
    ctx.permit(about(ctx, { credential: { user_id: row.user_id } }));
    if (row.type !== 'ec2') throw new Unauthorized();
    if (!reaches(ctx.caller, row)) throw forbidden('EC2 credential project does not match the project scope of the delegated token');
    await mustExist(ctx);
    return row;
  };
  const path = '/users/:user_id/credentials/OS-EC2';
  return [
    operation({
      id: 'ec2_credentials.list', summary: 'List EC2 credentials', method: 'GET', path, policy: 'identity:ec2_list_credentials', permit: 'object',
      async handler(ctx) {
        ctx.permit(about(ctx));
        await mustExist(ctx);
        const rows: CredentialRow[] = await db('credentials').where({ user_id: ctx.params['user_id'], type: 'ec2' }).orderBy('id');
        return { credentials: rows.filter(r => reaches(ctx.caller, r)).map(r => view(ctx, r)), links: links(ctx) };
      },
    }),
    operation({
      id: 'ec2_credentials.create', summary: 'Create EC2 credentials', method: 'POST', path, policy: 'identity:ec2_create_credential', permit: 'object', status: 201, body: Ec2Create,
      async handler(ctx) {
        const userId = ctx.params['user_id'] as string;
        ctx.permit(about(ctx, { credential: { user_id: userId } }));
        refuseRestricted(ctx.caller);
        await mustExist(ctx);
        const projectId = ctx.body.tenant_id;
        if (!(await findProject(db, projectId))) throw absent('project', projectId);
        if (!reaches(ctx.caller, { project_id: projectId })) throw forbidden('EC2 credential project does not match the project scope of the delegated token');
        const keys: Keys = { access: newHexId(), secret: newHexId(), trust_id: ctx.caller.trustId ?? null, ...(ctx.caller.appCredId === undefined ? {} : { app_cred_id: ctx.caller.appCredId }) };
        return { credential: view(ctx, await insert(identity, { id: idOfAccessKey(keys.access), user_id: userId, project_id: projectId, type: 'ec2', blob: JSON.stringify(keys), extra: {} })) };
      },
    }),
    operation({ id: 'ec2_credentials.show', summary: 'Show EC2 credentials', method: 'GET', path: `${path}/:credential_id`, policy: 'identity:ec2_get_credential', permit: 'object', handler: async ctx => ({ credential: view(ctx, await permitted(ctx)) }) }),
    operation({ id: 'ec2_credentials.delete', summary: 'Delete EC2 credentials', method: 'DELETE', path: `${path}/:credential_id`, policy: 'identity:ec2_delete_credential', permit: 'object', async handler(ctx) { await db('credentials').where({ id: (await permitted(ctx)).id }).delete(); } }),
    // Only a service may have a signature checked: anyone else could try out keys (CVE-2025-65073).
    operation({
      id: 'ec2tokens.create', summary: 'Log in by an EC2 signature, on behalf of a service', method: 'POST', path: '/ec2tokens', policy: 'identity:ec2tokens_validate', body: Signed,
      async handler(ctx) {
        const { token, claims } = await authenticate(identity, 'ec2', ctx.body);
        return new Reply(200, await tokenView(identity, claims, claims.r ?? [], { catalog: true }), { 'x-subject-token': token });
      },
    }),
    operation({
      id: 's3tokens.create', summary: 'Log in by an S3 signature, on behalf of a service', method: 'POST', path: '/s3tokens', policy: 'identity:s3tokens_validate', body: Signed,
      async handler(ctx) {
        const { claims } = await authenticate(identity, 's3', ctx.body);
        return new Reply(200, await tokenView(identity, claims, claims.r ?? [], { catalog: true }));
      },
    }),
  ];
}
