/** Every API service, its classic port and its place in the catalogue. Volume appears under two types: old clients ask for volumev3, new ones for block-storage. */
export const services = {
  identity: { port: 5000, types: ['identity'], name: 'keystone' },
  image: { port: 9292, types: ['image'], name: 'glance' },
  compute: { port: 8774, types: ['compute'], name: 'nova' },
  volume: { port: 8776, types: ['volumev3', 'block-storage'], name: 'cinder' },
  network: { port: 9696, types: ['network'], name: 'neutron' },
  placement: { port: 8778, types: ['placement'], name: 'placement' },
  operations: { port: 8790, types: ['operations'], name: 'operations' },
  backupcatalogue: { port: 8791, types: ['backup-catalogue'], name: 'backup-catalogue' },
} as const;
export type ServiceName = keyof typeof services;
