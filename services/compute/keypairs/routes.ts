import { duplicateOf, limitsOf, transaction } from '@cumulet/db';
import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import type { Runtime } from '@cumulet/service';
import { BadRequest, Conflict, Forbidden, micros, NotFound } from '@cumulet/wire';
import { nextLink, pageSize } from '../paging.ts';
import { defaults } from '../quotas/limits.ts';
import { generateSsh, generateX509, sshFingerprint, x509Fingerprint } from './keys.ts';
import { Create, Listed, ListQuery, Made, OneQuery, Shown } from './schemas.ts';

export interface KeypairRow { id: number; user_id: string; name: string; type: 'ssh' | 'x509'; public_key: string; fingerprint: string; created_at: Date }

export const routes = (rt: Runtime): Operation[] => {
  const { db } = rt;
  const userOf = (ctx: Context<unknown, unknown>, named: string | undefined) => (named !== undefined && ctx.dialect.has('keypairs of others') ? named : ctx.caller.userId);
  const find = async (ctx: Context<unknown, { user_id?: string }>): Promise<KeypairRow> => {
    const user = userOf(ctx, ctx.query.user_id);
    ctx.permit({ user_id: user });
    const name = ctx.params['name'] ?? '';
    const row: KeypairRow | undefined = await db('keypairs').where({ user_id: user, name }).first();
    if (!row) throw new NotFound(`Keypair ${name} not found for user ${user}`);
    return row;
  };
  return [
    operation({
      id: 'keypairs.list', summary: 'List key pairs', method: 'GET', path: '/os-keypairs', policy: 'os_compute_api:os-keypairs:index', permit: 'object', query: ListQuery, reply: Listed,
      handler: async ctx => {
        const user = userOf(ctx, ctx.query.user_id);
        ctx.permit({ user_id: user });
        const pages = ctx.dialect.has('keypair pages');
        const limit = pages ? pageSize(rt, ctx.query.limit) : undefined;
        const query = db('keypairs').where({ user_id: user }).orderBy('name');
        if (limit !== undefined) query.limit(limit);
        if (pages && ctx.query.marker !== undefined) {
          if (!await db('keypairs').where({ user_id: user, name: ctx.query.marker }).first('id')) throw new BadRequest(`marker [${ctx.query.marker}] not found`);
          query.where('name', '>', ctx.query.marker);
        }
        const rows: KeypairRow[] = await query;
        return {
          keypairs: rows.map(k => ({ keypair: { name: k.name, public_key: k.public_key, fingerprint: k.fingerprint, type: k.type } })),
          ...(pages && ctx.query.limit !== undefined && rows.length === limit && rows.length > 0 ? { keypairs_links: nextLink(ctx, rows.at(-1)?.name as string) } : {}),
        };
      },
    }),
    operation({
      id: 'keypairs.create', summary: 'Import or generate a key pair', method: 'POST', path: '/os-keypairs', policy: 'os_compute_api:os-keypairs:create', permit: 'object', body: Create, reply: Made,
      handler: async ctx => {
        const k = ctx.body.keypair as { name: string; public_key?: string; type?: 'ssh' | 'x509'; user_id?: string };
        const user = userOf(ctx, k.user_id);
        ctx.permit({ user_id: user });
        if (k.name.trim() !== k.name) throw new BadRequest(`Invalid input for field/attribute name. Value: ${k.name}. '${k.name}' does not match the pattern of key pair names`);
        const type = k.type ?? 'ssh';
        const made = k.public_key !== undefined ? undefined : type === 'ssh' ? await generateSsh() : await generateX509(user, rt.clock());
        const publicKey = made?.publicKey ?? (k.public_key as string);
        const fingerprint = made?.fingerprint ?? (type === 'ssh' ? sshFingerprint(publicKey) : x509Fingerprint(publicKey));
        await transaction(db, async trx => {
          const limits = await limitsOf(trx, 'compute', ctx.caller.projectId ?? '', defaults);
          try { await trx('keypairs').insert({ user_id: user, name: k.name, type, public_key: publicKey, fingerprint }); } catch (error) {
            if (duplicateOf(error) !== undefined) throw new Conflict(`Key pair '${k.name}' already exists.`);
            throw error;
          }
          const limit = limits['key_pairs'] ?? -1;
          const [{ count } = { count: 0 }] = await trx('keypairs').where({ user_id: user }).count('* as count') as { count: number }[];
          if (limit >= 0 && count > limit) throw new Forbidden('Quota exceeded, too many key pairs.');
        });
        const keypair = { ...(made ? { private_key: made.privateKey } : {}), type, name: k.name, public_key: publicKey, fingerprint, user_id: user };
        return new Reply(ctx.dialect.has('keypair statuses') ? 201 : 200, { keypair });
      },
    }),
    operation({
      id: 'keypairs.show', summary: 'Show a key pair', method: 'GET', path: '/os-keypairs/:name', policy: 'os_compute_api:os-keypairs:show', permit: 'object', query: OneQuery, reply: Shown,
      handler: async ctx => {
        const k = await find(ctx);
        return { keypair: { name: k.name, public_key: k.public_key, fingerprint: k.fingerprint, user_id: k.user_id, created_at: micros(k.created_at), deleted: false, deleted_at: null, id: k.id, updated_at: null, type: k.type } };
      },
    }),
    operation({
      id: 'keypairs.delete', summary: 'Delete a key pair', method: 'DELETE', path: '/os-keypairs/:name', policy: 'os_compute_api:os-keypairs:delete', permit: 'object', query: OneQuery,
      handler: async ctx => { const k = await find(ctx); await db('keypairs').where({ id: k.id }).delete(); return new Reply(ctx.dialect.has('keypair statuses') ? 204 : 202); },
    }),
  ];
};
