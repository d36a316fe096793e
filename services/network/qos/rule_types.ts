import { operation, type Operation } from '@cumulet/http';
import { BadRequest, Forbidden, NotFound, parseBool } from '@cumulet/wire';
import { AnyQuery, fieldsOf, pick } from '../rest/collection.ts';
import { dscpMarks, kinds, largest, supported } from './rules.ts';

const range = (parameter_name: string) => ({ parameter_name, parameter_type: 'range', parameter_values: { start: 0, end: largest } });
const choices = (parameter_name: string, parameter_values: readonly unknown[]) => ({ parameter_name, parameter_type: 'choices', parameter_values });
/** As neutron's driver of Linux bridges told of itself. */
const details: Readonly<Record<string, readonly object[]>> = {
  bandwidth_limit: [range('max_kbps'), range('max_burst_kbps'), choices('direction', ['egress', 'ingress'])],
  dscp_marking: [choices('dscp_mark', dscpMarks)],
};
const flags = ['all_supported', 'all_rules'];
const reserved = new Set([...flags, 'fields', 'limit', 'marker', 'page_reverse', 'sort_key', 'sort_dir']);

/** Which kinds of rules have an effect here. */
export const ruleTypeRoutes = (): Operation[] => [
  operation({
    id: 'rule_types.list', summary: 'Kinds of QoS rules that have an effect', method: 'GET', path: '/qos/rule-types', policy: 'get_rule_type', query: AnyQuery,
    handler: ctx => {
      const wants = Object.fromEntries(Object.entries(ctx.query).map(([key, value]) => {
        if (!reserved.has(key)) throw new BadRequest(`['${key}'] is invalid attribute for filtering`);
        const wanted = flags.includes(key) ? parseBool([value].flat().at(-1) ?? '') : undefined;
        if (flags.includes(key) && wanted === undefined) throw new BadRequest(`Invalid input for ${key}. Reason: '${String(value)}' cannot be converted to boolean.`);
        return [key, wanted];
      }));
      if (wants['all_supported'] === true && wants['all_rules'] === true) throw new BadRequest(`Invalid input for operation: all_supported and all_rules exclude each other.`, { kind: 'InvalidInput' });
      const types = kinds.map(k => k.type).filter(t => wants['all_rules'] === true || supported.has(t));
      return { rule_types: types.map(type => pick({ type }, fieldsOf(ctx.query))) };
    },
  }),
  operation({
    id: 'rule_types.show', summary: 'What a kind of QoS rules may hold', method: 'GET', path: '/qos/rule-types/:type', policy: 'get_rule_type', query: AnyQuery,
    handler: ctx => {
      // Beside the rule: neutron's plugin tells administrators only.
      if (!ctx.allows('context_is_admin')) throw new Forbidden('Not authorized.', { kind: 'NotAuthorized' });
      const type = kinds.find(k => k.type === ctx.params['type'])?.type;
      if (type === undefined) throw new NotFound(`QoS rule type ${ctx.params['type']} could not be found.`, { kind: 'QosRuleTypeNotFound' });
      return { rule_type: pick({ type, drivers: supported.has(type) ? [{ name: 'linuxbridge', supported_parameters: details[type] }] : [] }, fieldsOf(ctx.query)) };
    },
  }),
];
