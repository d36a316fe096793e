import { transaction } from '@cumulet/db';
import { operation, type Context, type Operation } from '@cumulet/http';
import { BadRequest, Conflict, Fault, Forbidden, NotFound, seconds, TooLarge } from '@cumulet/wire';
import { insertMember, memberOf, membersOf, removeMember, setMemberStatus, type MemberRow } from '../images/store.ts';
import type { ImageDeps } from '../opened.ts';
import { imageTarget, permit, permitOr, seen, type SeenImage } from '../permission.ts';

const view = (m: MemberRow) => ({ member_id: m.member, image_id: m.image_id, status: m.status, created_at: seconds(m.created_at), updated_at: seconds(m.updated_at), schema: '/v2/schemas/member' });
const statuses = ['pending', 'accepted', 'rejected'] as const;
const onlyShared = 'Only shared images have members.';
const absentMember = (member: string, image: string) => `${member} not found in the member list of the image ${image}.`;
const find = (d: ImageDeps, ctx: Context): Promise<SeenImage> => seen(d.rt.db, ctx, ctx.params['image_id'] as string, id => `Image ${id} not found.`);
const pathMember = (ctx: Context) => ctx.params['member_id'] as string;

function readBody(body: unknown, name: 'member' | 'status'): string {
  if (body === undefined || body === null) throw new BadRequest('Body expected in request.');
  if (typeof body !== 'object' || Array.isArray(body)) throw new BadRequest(name === 'member' ? 'Expected a member in the form: {"member": "image_id"}' : 'Expected a status in the form: {"status": "status"}');
  if (!(name in body)) throw new BadRequest(name === 'member' ? 'Member to be added not specified' : 'Status not specified');
  const value = (body as Record<string, unknown>)[name];
  if (name === 'member' && (value === null || value === '')) throw new BadRequest("Member can't be empty");
  if (typeof value !== 'string' || value.length > 255) throw new BadRequest(name === 'member' ? 'Expected a member in the form: {"member": "image_id"}' : 'Expected a status in the form: {"status": "status"}');
  return value;
}

/** A member, for the owner, an admin and the member itself; to everybody else it is not there. */
async function findMember(d: ImageDeps, ctx: Context, image: SeenImage): Promise<MemberRow> {
  const member = pathMember(ctx);
  permitOr(ctx, image, `You are not authorized to lookup the members of the image ${image.id}.`, 'get_member');
  const row = await memberOf(d.rt.db, image.id, member);
  const mine = member === ctx.caller.projectId || image.owner === ctx.caller.projectId || ctx.allows('context_is_admin');
  if (!row || !mine) throw new NotFound(absentMember(member, image.id));
  return row;
}

export const routes = (d: ImageDeps): Operation[] => [
  operation({
    id: 'members.create', summary: 'Share an image with a project', method: 'POST', path: '/images/:image_id/members', policy: 'add_member', permit: 'object',
    handler: async ctx => {
      const member = readBody(ctx.body, 'member');
      const image = await find(d, ctx);
      const refusal = `Not allowed to create members for image ${image.id}.`;
      permitOr(ctx, image, refusal);
      if (image.visibility !== 'shared') throw new Forbidden(refusal);
      return view(await transaction(d.rt.db, async trx => {
        await trx('images').where({ id: image.id }).forUpdate().first('id');
        const most = d.rt.settings.image.memberQuota;
        const there = (await membersOf(trx, image.id)).length;
        if (most >= 0 && there + 1 > most) throw new TooLarge(`Image member limit exceeded for image ${image.id}: The limit has been exceeded on the number of allowed image members for this image. Attempted: ${there + 1}, Maximum: ${most}:`);
        if (await memberOf(trx, image.id, member)) throw new Conflict(`Member ${member} is duplicated for image ${image.id}`);
        const row = await insertMember(trx, image.id, member);
        if (!row) throw new NotFound(`Image ${image.id} not found.`);
        return row;
      }));
    },
  }),
  operation({
    id: 'members.list', summary: 'List the projects that share an image', method: 'GET', path: '/images/:image_id/members', policy: 'get_members', permit: 'object',
    handler: async ctx => {
      const image = await find(d, ctx);
      permit(ctx, image);
      if (image.visibility !== 'shared') throw new Forbidden(`Not allowed to list members for image ${image.id}: ${onlyShared}`);
      const all = await membersOf(d.rt.db, image.id);
      // A member sees that it is one, not who else is.
      const whole = image.owner === ctx.caller.projectId || ctx.allows('context_is_admin');
      return { members: all.filter(m => whole || m.member === ctx.caller.projectId).map(view), schema: '/v2/schemas/members' };
    },
  }),
  operation({
    id: 'members.show', summary: 'Show a member of an image', method: 'GET', path: '/images/:image_id/members/:member_id', policy: 'get_member', permit: 'object',
    handler: async ctx => {
      const image = await find(d, ctx);
      // Who may not look learns nothing: 404 also where another operation says 403.
      try { permit(ctx, image); } catch (error) { if (error instanceof Fault && error.status === 403) throw new NotFound(error.message); throw error; }
      if (image.visibility !== 'shared') throw new NotFound(onlyShared);
      return view(await findMember(d, ctx, image));
    },
  }),
  operation({
    id: 'members.update', summary: 'Accept or reject an image that is shared with one\'s project', method: 'PUT', path: '/images/:image_id/members/:member_id', policy: 'modify_member', permit: 'object',
    handler: async ctx => {
      const status = readBody(ctx.body, 'status');
      const image = await find(d, ctx);
      const member = pathMember(ctx);
      // The rule compares the caller's project with the member in the path: the owner is none and may not accept for others.
      const may = ctx.allows('modify_member', { ...imageTarget(image), member_id: member });
      if (!may && image.owner === ctx.caller.projectId && image.visibility === 'shared') throw new Forbidden("You are not permitted to modify 'status' on this image member.");
      const refusal = `Not allowed to update members for image ${image.id}.`;
      if (image.visibility !== 'shared') { permitOr(ctx, image, refusal, 'get_image'); throw new Forbidden(refusal); }
      await findMember(d, ctx, image);
      if (!may) throw new Forbidden(refusal);
      ctx.permit({ ...imageTarget(image), member_id: member });
      if (!(statuses as readonly string[]).includes(status)) throw new BadRequest(`Incorrect request: Status must be "pending", "accepted" or "rejected".`);
      const row = await setMemberStatus(d.rt.db, image.id, member, status as MemberRow['status']);
      if (!row) throw new NotFound(absentMember(member, image.id));
      return view(row);
    },
  }),
  operation({
    id: 'members.delete', summary: 'Stop sharing an image with a project', method: 'DELETE', path: '/images/:image_id/members/:member_id', policy: 'delete_member', permit: 'object', status: 204,
    handler: async ctx => {
      const image = await find(d, ctx);
      const refusal = `Not allowed to delete members for image ${image.id}.`;
      if (image.visibility !== 'shared') { ctx.permit(imageTarget(image)); throw new Forbidden(refusal); }
      permitOr(ctx, image, refusal);
      const member = pathMember(ctx);
      if (await removeMember(d.rt.db, image.id, member) === 0) throw new NotFound(absentMember(member, image.id));
    },
  }),
];
