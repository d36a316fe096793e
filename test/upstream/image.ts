import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestCloud } from '../harness/cloud.ts';

/** What upstream's image tests want of a site beside images: something on the web, several stores, and a second address of the service. */
export interface ImageSite {
  /** Settings of the cloud. */
  readonly env: Readonly<Record<string, string>>;
  /** For tempest.conf. */
  readonly httpImage: string;
  /** `image_remote` in the catalogue, where tests stage data that they import by the other address. */
  addRemote(cloud: TestCloud): Promise<void>;
  close(): void;
}

export async function imageSite(): Promise<ImageSite> {
  const content = randomBytes(100_000);
  const server = createServer((req, res) => { res.writeHead(200, { 'content-length': content.length }).end(req.method === 'HEAD' ? undefined : content); });
  await new Promise<void>((f) => { server.listen(0, '127.0.0.1', f); });
  const { port } = server.address() as AddressInfo;
  return {
    env: {
      CUMULET_IMAGE_STORES: '[{id: file, driver: file, default: true}, {id: spare, driver: file, path: spare}, {id: web, driver: http}]',
      CUMULET_IMAGE_SHOW_MULTIPLE_LOCATIONS: 'true', CUMULET_IMAGE_FETCH_PORTS: `[80, ${port}]`, CUMULET_IMAGE_FETCH_ALLOWED_NETWORKS: '[127.0.0.0/8]',
      // They upload random bytes as every format there is, which upstream takes by default.
      CUMULET_IMAGE_REQUIRE_FORMAT_MATCH: 'false',
    },
    httpImage: `http://127.0.0.1:${port}/image`,
    async addRemote(cloud) {
      await cloud.admin('service', 'create', '--name', 'glance-remote', 'image_remote');
      await cloud.admin('endpoint', 'create', '--region', 'RegionOne', 'image_remote', 'public', `http://127.0.0.1:${cloud.ports.image}`);
    },
    close: () => { server.close(); },
  };
}
