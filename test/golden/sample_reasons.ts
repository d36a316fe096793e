/** Why a reply is not as a sample of upstream's shows it. */
export const sampleReasons: { readonly skipped: Readonly<Record<string, string>>; readonly differences: readonly (readonly [RegExp, string])[] } = {
  skipped: {
    'os-evacuate/server-evacuate-find-host-resp': 'an evacuation needs a second host: services/compute/plans/move.test.ts',
    'os-evacuate/server-evacuate-resp': 'the same',
    'os-hypervisors/hypervisors-without-servers-resp': 'a host that runs nothing; the one here does, and the reply with servers is compared',
    'os-remote-consoles/get-serial-console-post-resp': 'the fake hypervisor has no serial console; its reply has the form of the others',
  },
  differences: [
    [/ has \S*(updated_at|ended_at|disabled_reason|instance_type_id|OS-EXT-STS:task_state) as (null instead of (string|number)|string instead of null)$/, 'what has happened to it so far'],
    [/ has \S*(description|locked_reason|key_name|tag|pinned_availability_zone|OS-EXT-SRV-ATTR:user_data|trusted_image_certificates|display(Name|Description)) as (null instead of (string|array)|string instead of null)$/, 'as whoever made it said, or did not'],
    [/^os-hypervisors\/\S+ has \S*uptime as string instead of null$/, 'upstream\'s fake does not know its uptime'],
    [/^os-server-diagnostics\/\S+ has \S*(utilisation|rx_rate|tx_rate) as null instead of number$/, 'libvirt counts no rates'],
    [/^os-server-topology\/\S+ has pagesize_kb as null instead of number$/, 'no NUMA topology here'],
    [/ (has|lacks) (\w+_links|servers_links)(\[\].*)?(,|$)/, 'a next page depends on how many there are'],
    [/^(servers|os-server-tags|os-rescue)\/\S+ has \S*(OS-EXT-SRV-ATTR:(?!hostname)\w+|host_status),/, 'samples since 2.90, and those of tags, were recorded by a user who is no administrator'],
    [/^(os-server-tags|os-rescue)\/\S+ has \S*OS-EXT-SRV-ATTR:hostname,/, 'the same'],
    [/^os-console-auth-tokens\/\S+ lacks console\.tls_port/, 'only consoles of kind spice-direct have one'],
    [/^os-server-diagnostics\/\S+ has (memory-(actual|rss)|vd[a-z]_|vnet\d_|cpu\d_)/, 'before 2.48 the members are the hypervisor\'s own; these are libvirt\'s'],
    [/^os-migrations\/\S+ (has|lacks) migrations\[\]\.links(,|$)/, 'links are those of live migrations under way, which not every page of samples, or of ours, has'],
    [/^os-volumes\/os-volumes-post-resp lacks volume\.attachments\[\]/, 'a new volume is attached to nothing; the sample says otherwise'],
  ],
};
