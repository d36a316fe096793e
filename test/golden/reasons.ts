/** Why a reply is not the recorded one. */
export const reasons: { readonly skipped: Readonly<Record<string, string>>; readonly differences: readonly (readonly [RegExp, string])[] } = {
  skipped: {
    'get_os-volumes': 'the proxy of volumes of old clients is not there yet',
    'get_os-console-auth-tokens_x': 'consoles are not there yet',
    console_url_vnc: 'consoles are not there yet',
    server_create_bfv: 'a server that boots from a volume; those that are looked at here boot from an image',
    server_show_error: 'an error with a fault; the one here was only called so by reset-state',
  },
  differences: [
    [/^err_406_mv_999 body .*maximum is 2\.104/, 'newer than the peer'],
    [/^(err_405|get_os-certificates|get_os-assisted-volume-snapshots) status 405/, 'a method that a path does not have is 405 here, 404 at the peer'],
    [/^err_409_shelved_stop body/, 'here the state is looked at before the host; the same 409'],
    [/^(nova_boot|server_create_multi|server_show_building) server\.security_groups: more/, 'recorded while it was being built, when nova does not know them'],
  ],
};
