/** Why a reply is not the recorded one. */
export const reasons: { readonly skipped: Readonly<Record<string, string>>; readonly differences: readonly (readonly [RegExp, string])[] } = {
  skipped: {
    console_url_vnc: 'the peer\'s fake hypervisor has no consoles: 400 there',
    server_create_bfv: 'a server that boots from a volume; those that are looked at here boot from an image',
    server_show_error: 'an error with a fault; the one here was only called so by reset-state',
  },
  differences: [
    [/^err_406_mv_999 body .*maximum is 2\.104/, 'newer than the peer'],
    [/^(err_405|get_os-certificates|get_os-assisted-volume-snapshots) status 405/, 'a method that a path does not have is 405 here, 404 at the peer'],
    [/ server\.(key_name|description|locked_reason|OS-SRV-USG:launched_at|OS-EXT-SRV-ATTR:(host|hypervisor_hostname|root_device_name)|OS-EXT-STS:task_state): (\w+ instead of null|null instead of string)$/, 'null or not as the server happens to be: with a key or without, built or being built'],
    [/ (aggregates\[\]\.availability_zone|flavor\.description|volumes\[\]\.displayDescription): null instead of string$/, 'as whoever made it said'],
    [/^hypervisors_detail_288 hypervisors\[\]\.uptime: string instead of null$/, 'the peer\'s fake hypervisor does not know its uptime'],
    [/^(nova_boot|server_create_multi|server_show_building) server\.security_groups: more/, 'recorded while it was being built, when nova does not know them'],
  ],
};
