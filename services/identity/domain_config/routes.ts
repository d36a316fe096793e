import { operation, Reply, type Context, type Operation } from '@cumulet/http';
import { shape } from '@cumulet/wire';
import { z } from 'zod';
import type { Identity } from '../identity.ts';
import * as service from './service.ts';

const Config = shape('DomainConfig', z.looseObject({ config: z.record(z.string(), z.any()) }));

/** A domain's own settings, whole, by group, or by option. */
export function domainConfigRoutes(identity: Identity): Operation[] {
  const names = (ctx: Context) => [ctx.params['domain_id'] as string, ctx.params['group'], ctx.params['option']] as const;
  const root = '/domains/:domain_id/config';
  const levels = [{ id: 'domain_config', path: root }, { id: 'domain_config.group', path: `${root}/:group` }, { id: 'domain_config.option', path: `${root}/:group/:option` }];
  const read = async (ctx: Context) => {
    const [domainId, group, option] = names(ctx);
    await service.mustBeDomain(identity, domainId);
    return { config: await service.read(identity, domainId, group, option) };
  };
  return [
    operation({
      id: 'domain_config.create', summary: 'Replace the config of a domain', method: 'PUT', path: root, policy: 'identity:create_domain_config', body: Config,
      async handler(ctx) {
        const [domainId] = names(ctx);
        await service.mustBeDomain(identity, domainId);
        const { existed } = await service.replace(identity, domainId, ctx.body.config);
        return new Reply(existed ? 200 : 201, { config: await service.read(identity, domainId) });
      },
    }),
    ...levels.flatMap(({ id, path }) => [
      operation({ id: `${id}.show`, summary: 'Show the config of a domain', method: 'GET', path, policy: 'identity:get_domain_config', handler: read }),
      operation({
        id: `${id}.update`, summary: 'Update the config of a domain', method: 'PATCH', path, policy: 'identity:update_domain_config', body: Config,
        async handler(ctx) {
          const [domainId, group, option] = names(ctx);
          await service.mustBeDomain(identity, domainId);
          await service.merge(identity, domainId, ctx.body.config, group, option);
          return { config: await service.read(identity, domainId) };
        },
      }),
      operation({
        id: `${id}.delete`, summary: 'Delete the config of a domain', method: 'DELETE', path, policy: 'identity:delete_domain_config',
        async handler(ctx) { const [domainId, group, option] = names(ctx); await service.mustBeDomain(identity, domainId); await service.remove(identity, domainId, group, option); },
      }),
    ]),
    ...[`${root}/security_compliance`, `${root}/security_compliance/:option`].map((path, i) => operation({
      id: `domain_config.compliance.${i === 0 ? 'list' : 'show'}`, summary: 'Show how strong passwords must be', method: 'GET', path, policy: 'identity:get_security_compliance_domain_config',
      async handler(ctx) {
        const [domainId, , option] = names(ctx);
        await service.mustBeDomain(identity, domainId);
        return { config: service.readCompliance(identity, domainId, option) };
      },
    })),
    ...['/domains/config/default', '/domains/config/:group/default', '/domains/config/:group/:option/default'].map((path, i) => operation({
      id: `domain_config.default.${['list', 'group', 'option'][i]}`, summary: 'Show defaults of domains\' configs', method: 'GET', path, policy: 'identity:get_domain_config_default',
      handler: ctx => ({ config: service.readDefaults(ctx.params['group'], ctx.params['option']) }),
    })),
  ];
}
