/** nova's own defaults; a quota class or a project's own limits go before. -1 is no limit. */
export const defaults = {
  instances: 10, cores: 20, ram: 51_200, key_pairs: 100, metadata_items: 128, injected_files: 5, injected_file_content_bytes: 10_240, injected_file_path_bytes: 255,
  server_groups: 10, server_group_members: 10, fixed_ips: -1, floating_ips: -1, security_groups: -1, security_group_rules: -1, networks: 3,
} as const;
