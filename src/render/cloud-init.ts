/**
 * User data for cloud-init, on every family that has it. All is done by a bootcmd, which runs before anything else of
 * cloud-init's: before the container runtimes on Debian and Ubuntu, whose boot waits for it, and before network-online.target,
 * and so before the kubelet's first pull, elsewhere. write_files comes later than bootcmd, and ca_certs gives the files
 * names that nobody takes off again.
 */
import type { Format } from './format.ts';
import { installer } from './node-files.ts';
import { heading, indent } from './text.ts';

/** No line of the installer. */
const end = 'END_OF_INSTALLER';

export const cloudInit: Format = {
  bare: true,
  whenTooLarge: 'compress it by gzip, which cloud-init takes as it is',
  render(rendering) {
    // Once for each instance: at later boots what the agent has removed since must not come back.
    const command = `cloud-init-per instance node-ca-trust-${rendering.instance} sh << '${end}'\n${installer(rendering)}${end}\n`;
    return `#cloud-config
${heading(rendering)}
# Of several parts of user data let this one be the last: it adds its list to theirs, another would put its own in its place.
merge_how:
  - name: list
    settings: [append]
  - name: dict
    settings: [no_replace, recurse_list]
bootcmd:
  - |
${indent(command, 4)}`;
  },
};
