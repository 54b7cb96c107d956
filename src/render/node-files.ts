/**
 * What every format for a system with a writable /etc puts on a node, and the shell script that puts it there.
 */
import type { Anchor } from '../bundle/types.ts';
import { stemOf } from '../stores/store.ts';
import { notForP11KitDirectory, refreshScript, scriptPath, stagingDirectory } from './refresh-script.ts';
import { heading } from './text.ts';
import { pathName, pathUnit, serviceName, serviceUnit } from './units.ts';

export interface NodeFile {
  readonly path: string;
  /** Ends in a newline. */
  readonly text: string;
}

/** A bundle to put on nodes, under the names that the agent of this instance takes for its own. */
export interface Rendering {
  readonly anchors: readonly Anchor[];
  readonly instance: string;
}

/** The refresh script, and the anchors as files that wait for it. */
export function nodeFiles({ anchors, instance }: Rendering): readonly NodeFile[] {
  const waiting = anchors.map(({ fingerprint, pem, notForP11Kit }) => ({
    path: `${notForP11Kit === undefined ? stagingDirectory : notForP11KitDirectory}/${stemOf(instance, fingerprint)}.crt`,
    text: pem,
  }));
  return [...waiting, { path: scriptPath, text: refreshScript }];
}

/** No file of ours has this line. */
const end = 'END_OF_FILE';

function puts(files: readonly NodeFile[]): string {
  return files.map(({ path, text }) => `put ${path} << '${end}'\n${text}${end}\n`).join('');
}

/** A shell script, whole in itself, that puts everything on the system it runs on and refreshes its trust store. */
export function installer(rendering: Rendering): string {
  const units = [
    { path: `/etc/systemd/system/${serviceName}`, text: serviceUnit },
    { path: `/etc/systemd/system/${pathName}`, text: pathUnit },
  ];
  return `#!/bin/sh
${heading(rendering)}
# Brings these anchors into this system's trust store, and keeps the store in step with its anchor directory from now on.
# For a system that runs, and for the root of an image.
set -eu
umask 022
put() { mkdir -p "$(dirname "$1")"; cat > "$1.new"; mv -f "$1.new" "$1"; }
${puts(nodeFiles(rendering))}if command -v systemctl > /dev/null; then
${puts(units)}systemctl --quiet enable ${pathName} ${serviceName}
fi
status=0
sh ${scriptPath} < /dev/null || status=$?
# Without waiting: early in the boot of a system that could be forever.
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl --no-block start ${pathName}
fi
exit $status
`;
}
