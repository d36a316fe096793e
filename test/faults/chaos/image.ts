import type { Idea, User } from './user.ts';

/** The stores of the cloud: every image is in the first to begin with. */
export const stores = ['file', 'second'] as const;

/** What comes to mind about images. */
export function imageIdeas(user: User): readonly Idea[] {
  const { f, random } = user;
  const image = () => user.path('image', user.any('image'));
  const create = () => user.make('image', { name: user.label(), disk_format: 'raw', container_format: 'bare' });
  /** Once: who loses the connection asks again, or not. */
  const send = async (what: string, path: string) => {
    const answer = await f.send('image', 'PUT', path, Buffer.alloc(1_000_000 + random.below(2_000_000), path)).catch(() => undefined);
    if (answer) user.answers.push({ what, status: answer.status === 503 ? 0 : answer.status, said: await answer.text().catch(() => '') });
  };
  const upload = async () => {
    await create();
    await send('upload image', `${image()}/file`);
  };
  const stage = async () => {
    await create();
    const path = image();
    await send('stage image', `${path}/stage`);
    await user.ask('import image', 'image', 'POST', `${path}/import`, { method: { name: 'glance-direct' }, ...random.one([{}, { stores: ['second'] }, { stores, all_stores_must_succeed: random.below(2) === 0 }]) });
  };
  return [
    upload, upload, stage, stage, () => user.remove('image'), () => user.remove('image'),
    () => user.ask('copy image', 'image', 'POST', `${image()}/import`, { method: { name: 'copy-image' }, stores: [random.one(stores)] }),
    () => user.ask('delete from store', 'image', 'DELETE', `/v2/stores/${random.one(stores)}/${user.any('image')}`, undefined, 'admin'),
    () => user.ask(random.one(['deactivate', 'reactivate']), 'image', 'POST', `${image()}/actions/${random.one(['deactivate', 'reactivate'])}`, undefined, 'admin'),
    () => user.ask('tag image', 'image', 'PUT', `${image()}/tags/${user.label()}`),
    () => user.ask('share image', 'image', 'POST', `${image()}/members`, { member: f.project }),
  ];
}
