import { seconds } from '@cumulet/wire';
import type { AssociationRow, ItemRow, NamespaceRow, ResourceTypeRow } from './store.ts';

const times = (row: { created_at: Date; updated_at: Date }) => ({ created_at: seconds(row.created_at), updated_at: seconds(row.updated_at) });
const given = (members: Record<string, unknown>) => Object.fromEntries(Object.entries(members).filter(([, v]) => v !== null && v !== undefined));

export const associationView = (a: AssociationRow) => given({ name: a.resource_type, prefix: a.prefix, properties_target: a.properties_target, ...times(a) });
export const resourceTypeView = (r: ResourceTypeRow) => ({ name: r.name, ...times(r) });
export const objectView = (o: ItemRow, namespace: string) => ({ name: o.name, ...o.definition, ...times(o), self: `/v2/metadefs/namespaces/${namespace}/objects/${o.name}`, schema: '/v2/schemas/metadefs/object' });
export const propertyView = (p: ItemRow, prefix = '') => ({ ...p.definition, name: `${prefix}${p.name}` });
export const tagView = (t: ItemRow) => ({ name: t.name, ...times(t) });

export function namespaceView(n: NamespaceRow, associations: readonly AssociationRow[], items: readonly ItemRow[] = [], prefix = ''): Record<string, unknown> {
  const of = (kind: ItemRow['kind']) => items.filter(i => i.kind === kind);
  const some = <T>(name: string, list: readonly T[], value: unknown) => (list.length > 0 ? { [name]: value } : {});
  return {
    ...given({ namespace: n.namespace, display_name: n.display_name, description: n.description, visibility: n.visibility, protected: n.protected, owner: n.owner }), ...times(n),
    ...some('resource_type_associations', associations, associations.map(associationView)),
    ...some('properties', of('property'), Object.fromEntries(of('property').map(p => [`${prefix}${p.name}`, p.definition]))),
    ...some('objects', of('object'), of('object').map(o => objectView(o, n.namespace))),
    ...some('tags', of('tag'), of('tag').map(t => ({ name: t.name }))),
    self: `/v2/metadefs/namespaces/${n.namespace}`, schema: '/v2/schemas/metadefs/namespace',
  };
}
