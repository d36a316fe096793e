import { containerFormats, diskFormats, visibilities } from '../images/schemas.ts';

/** JSON schemas as glance publishes them: clients learn from them which attributes an image has and which are its own properties. */
type Document = Record<string, unknown>;
export const idPattern = '^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$';
const readOnly = { readOnly: true };
const text = (description: string, more: Document = {}): Document => ({ type: 'string', description, ...more });
const maybe = (description: string, more: Document = {}): Document => ({ type: ['null', 'string'], description, ...more });
const link = { readOnly: true, type: 'string' };

const imageProperties: Document = {
  id: text('The id of the image', { pattern: idPattern }),
  name: maybe('A name for people', { maxLength: 255 }),
  status: text('Where the image is in its life', { ...readOnly, enum: ['queued', 'saving', 'active', 'killed', 'deleted', 'uploading', 'importing', 'pending_delete', 'deactivated'] }),
  visibility: text('Who can see the image', { enum: visibilities }),
  protected: { type: 'boolean', description: 'Whether the image cannot be deleted.' },
  os_hidden: { type: 'boolean', description: 'Whether lists leave the image out unless they ask for it.' },
  checksum: maybe('md5 of the data.', { ...readOnly, maxLength: 32 }),
  os_hash_algo: maybe('The algorithm of os_hash_value', { ...readOnly, maxLength: 64 }),
  os_hash_value: maybe('Hash of the data by os_hash_algo, in hexadecimal digits', { ...readOnly, maxLength: 128 }),
  owner: maybe('The project that owns the image', { maxLength: 255 }),
  size: { type: ['null', 'integer'], ...readOnly, description: 'Bytes of the data' },
  virtual_size: { type: ['null', 'integer'], ...readOnly, description: 'Bytes of the disk that the data describes' },
  container_format: maybe('What the data is wrapped in', { enum: [null, ...containerFormats] }),
  disk_format: maybe('How the data describes a disk', { enum: [null, ...diskFormats] }),
  created_at: text('When the image was registered', readOnly),
  updated_at: text('When the image was changed last', readOnly),
  tags: { type: 'array', description: 'Words to find the image by', items: { type: 'string', maxLength: 255 } },
  direct_url: text('Where a store keeps the data', readOnly),
  min_ram: { type: 'integer', description: 'MiB of memory that the image needs to boot.' },
  min_disk: { type: 'integer', description: 'GiB of disk that the image needs to boot.' },
  self: text('The path of the image', readOnly),
  file: text('The path of its data', readOnly),
  stores: text('The stores that have the data, divided by commas.', readOnly),
  schema: text('The path of this schema', readOnly),
  locations: {
    type: 'array', description: 'Where stores keep the data',
    items: {
      type: 'object', required: ['url', 'metadata'],
      properties: {
        url: { type: 'string', maxLength: 255 }, metadata: { type: 'object' },
        validation_data: {
          description: 'Hashes for an image that is still queued; for any other they must be the ones that it has.', type: 'object', writeOnly: true, additionalProperties: false,
          properties: { checksum: { type: 'string', minLength: 32, maxLength: 32 }, os_hash_algo: { type: 'string', maxLength: 64 }, os_hash_value: { type: 'string', maxLength: 128 } }, required: ['os_hash_algo', 'os_hash_value'],
        },
      },
    },
  },
  kernel_id: maybe('The image with the kernel of an AMI-style image.', { pattern: idPattern, is_base: false }),
  ramdisk_id: maybe('The image with the ramdisk of an AMI-style image.', { pattern: idPattern, is_base: false }),
  instance_uuid: text('The server that this image is a snapshot of; for information only.', { is_base: false }),
  architecture: text('The processor architecture that the image is for.', { is_base: false }),
  os_distro: text('The common name of the operating system\'s distribution.', { is_base: false }),
  os_version: text('The version of the operating system, as its distributor says it.', { is_base: false }),
  description: text('A description for people.', { is_base: false }),
  cinder_encryption_key_id: text('The key with which volumes from this image are encrypted', { is_base: false }),
  cinder_encryption_key_deletion_policy: text('Whether that key goes with the image', { enum: ['on_image_deletion', 'do_not_delete'], is_base: false }),
};
const memberProperties: Document = {
  member_id: text('The project that the image is shared with'),
  image_id: text('The id of the image', { pattern: idPattern }),
  created_at: text('When the image was shared'),
  updated_at: text('When the membership was changed last'),
  status: text('Whether the project took the image', { enum: ['pending', 'accepted', 'rejected'] }),
  schema: link,
};
const taskStub: Document = {
  id: text('The id of the task', { pattern: idPattern }),
  type: text('What the task does', { enum: ['import', 'api_image_import'] }),
  status: text('Where the task is', { enum: ['pending', 'processing', 'success', 'failure'] }),
  owner: text('The project that owns the task'),
  image_id: text('The image that the task is about'),
  request_id: text('The request that made the task'),
  user_id: text('The user who made the task'),
  expires_at: maybe('When the task will be forgotten'),
  created_at: text('When the task was made'),
  updated_at: text('When the task was changed last'),
  self: link, schema: link,
};
const taskProperties: Document = {
  ...taskStub,
  input: { type: ['null', 'object'], description: 'What the task was given' },
  result: { type: ['null', 'object'], description: 'What came of the task' },
  message: text('What the task has to say, mostly why it failed'),
};

/** A list of something, with links between its pages. */
export const collection = (name: string, item: Document, pages = true): Document => ({
  name,
  properties: { [name]: { type: 'array', items: item }, ...(pages ? { first: { type: 'string' }, next: { type: 'string' } } : {}), schema: { type: 'string' } },
  links: [...(pages ? [{ rel: 'first', href: '{first}' }, { rel: 'next', href: '{next}' }] : []), { rel: 'describedby', href: '{schema}' }],
});

const image = { name: 'image', properties: imageProperties, additionalProperties: { type: 'string' }, links: [{ rel: 'self', href: '{self}' }, { rel: 'enclosure', href: '{file}' }, { rel: 'describedby', href: '{schema}' }] };
const member = { name: 'member', properties: memberProperties };

export const documents: Readonly<Record<string, Document>> = {
  image, images: collection('images', image), member, members: collection('members', member, false),
  task: { name: 'task', properties: taskProperties }, tasks: collection('tasks', { name: 'task', properties: taskStub }, false),
};
