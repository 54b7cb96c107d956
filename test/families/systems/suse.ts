// SUSE. Its update-ca-certificates and the hooks that make the stores are not to be had here: they are made anew in other
// words, over the real p11-kit. NODE_CA_TRUST_SUSE names a checkout of the openSUSE project's ca-certificates, whose own
// scripts are tried then.
import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { World } from '../../sandbox/harness/world.ts';
import type { System } from '../system.ts';
import { layOut, link, put, runOnce } from './p11-kit.ts';

const output = '/var/lib/ca-certificates';
const hooks = '/usr/lib/ca-certificates/update.d';
const sources = ['/etc/pki/trust', '/usr/share/pki/trust'] as const;
const checkout = process.env['NODE_CA_TRUST_SUSE'];

/** What it does, in other words: one at a time by a lock on the output directory, hook after hook, and always 0. */
const program = `#!/bin/sh
umask 0222
case "$TRANSACTIONAL_UPDATE" in 1 | yes | true) : > /etc/pki/trust/.updated; exit 0 ;; esac
if [ -z "$HELD" ]; then HELD=1 exec flock ${output} "$0" "$@"; fi
export statedir=${output}
for hook in ${hooks}/*.run; do "$hook"; done
chmod 0555 ${output}
`;

const extract = 'trust extract --overwrite --filter=ca-anchors';
const scripts = {
  '50java.run': `${extract} --purpose=server-auth --format=java-cacerts ${output}/java-cacerts.new
mv ${output}/java-cacerts.new ${output}/java-cacerts`,
  '70openssl.run': `mkdir -p ${output}/openssl; ${extract} --format=openssl-directory ${output}/openssl`,
  '80etc_ssl.run': `${extract} --purpose=server-auth --format=pem-directory-hash ${output}/pem`,
  // Nothing is done when the bundle is younger than the directory, in whole seconds.
  '99certbundle.run': `[ "$(stat -c %Y ${output}/ca-bundle.pem)" -gt "$(stat -c %Y ${output}/pem)" ] && exit 0
${extract} --purpose=server-auth --format=pem-bundle ${output}/ca-bundle.pem.tmp
{ echo '# made by 99certbundle.run'; cat ${output}/ca-bundle.pem.tmp; } > ${output}/ca-bundle.pem.new
rm -f ${output}/ca-bundle.pem.tmp
mv -f ${output}/ca-bundle.pem.new ${output}/ca-bundle.pem`,
};

async function putScripts(world: World): Promise<void> {
  await put(world, '/usr/sbin/update-ca-certificates', program, 0o755);
  for (const [name, text] of Object.entries(scripts)) {
    await put(world, `${hooks}/${name}`, `#!/bin/sh\nset -e\n${text}\n`, 0o755);
    if (checkout !== undefined)
      await copyFile(join(checkout, name.replace(/^\d+/, '')), world.path(`${hooks}/${name}`));
  }
  if (checkout === undefined) return;
  await copyFile(join(checkout, 'update-ca-certificates'), world.path('/usr/sbin/update-ca-certificates'));
}

export const suse: System = {
  name: 'suse',
  family: 'suse',
  release: 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\nPRETTY_NAME="openSUSE Leap 15.6"\n',
  emulated:
    checkout === undefined
      ? "update-ca-certificates and its hooks are re-creations (NODE_CA_TRUST_SUSE names a checkout of SUSE's own); p11-kit, which does the work, is real"
      : '',
  anchors: `${sources[0]}/anchors`,
  bundle: `${output}/ca-bundle.pem`,
  hashed: ['/etc/ssl/certs'],
  disk: output,
  refresh: ['update-ca-certificates'],
  needed: ['/usr/sbin/update-ca-certificates', 'ca-certificates'],
  drops: true,
  async build(world) {
    await layOut(world, sources);
    await mkdir(world.path(`${output}/pem`), { recursive: true });
    await link(world, '/etc/ssl/certs', `../..${output}/pem`);
    await link(world, '/etc/ssl/ca-bundle.pem', `../..${output}/ca-bundle.pem`);
    await putScripts(world);
    await runOnce(world, ['update-ca-certificates']);
  },
};
