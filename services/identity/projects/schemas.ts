import { shape } from '@cumulet/wire';
import { z } from 'zod';
import { changes, description, id, immutable, open, tag, tags, truth } from '../shapes.ts';

/** Names of projects and domains are shorter than those of users. */
export const projectName = z.string().min(1).max(64).regex(/[\S]+/);
const members = { description: description.optional(), domain_id: id.nullable().optional(), enabled: truth.optional(), is_domain: truth.optional(), parent_id: id.nullable().optional(), tags: tags.optional(), options: immutable.optional() };

export const ProjectCreate = shape('ProjectCreate', z.object({ project: open({ ...members, name: projectName }) }));
export const ProjectUpdate = shape('ProjectUpdate', z.object({ project: changes({ ...members, name: projectName.optional() }) }));
export const Tags = shape('ProjectTags', z.strictObject({ tags }));
export const oneTag = tag;
