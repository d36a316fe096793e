import type { Context } from '@cumulet/http';
import { Fault, Forbidden, NotFound } from '@cumulet/wire';
import type { Trx } from '@cumulet/db';
import { findVisible, type ImageRow, type Who } from './images/store.ts';

/** An image with whether the caller's project is a member of it. */
export type SeenImage = ImageRow & { readonly member: string | null };

export const who = (ctx: Context): Who => ({ projectId: ctx.caller.projectId, isAdmin: ctx.allows('context_is_admin') });

/** What image rules look at, as upstream's ImageTarget. */
export const imageTarget = (image: Pick<SeenImage, 'id' | 'owner' | 'visibility' | 'member'>): Record<string, unknown> =>
  ({ image_id: image.id, project_id: image.owner, owner: image.owner, visibility: image.visibility, member_id: image.member });

/** The image, or 404 when it is not there or not for the caller's eyes. */
export async function seen(trx: Trx, ctx: Context, id: string, absent: (id: string) => string = i => `No image found with ID ${i}`, lock?: 'for update'): Promise<SeenImage> {
  const image = await findVisible(trx, who(ctx), id, lock);
  if (!image) throw new NotFound(absent(id));
  return image;
}

/** Asks the operation's own rule, or another, about an image: refused means 404 for who may not even see it, else 403. */
export function permit(ctx: Context, image: SeenImage, rule?: string): void {
  const target = imageTarget(image);
  try { if (rule === undefined) ctx.permit(target); else ctx.require(rule, target); } catch (error) {
    if (error instanceof Fault && error.status === 403 && !ctx.allows('get_image', target)) throw new NotFound();
    throw error;
  }
}
/** As `permit`, with a sentence of the operation's own for the 403. */
export function permitOr(ctx: Context, image: SeenImage, refusal: string, rule?: string): void {
  try { permit(ctx, image, rule); } catch (error) {
    if (error instanceof Fault && error.status === 403) throw new Forbidden(refusal);
    throw error;
  }
}
