/**
 * For nodes that Cluster API makes by kubeadm: a part of a KubeadmConfigSpec. kubeadm's own configuration has nothing for
 * a node's trust store.
 */
import type { Format } from './format.ts';
import { installer } from './node-files.ts';
import { directory } from './refresh-script.ts';
import { heading, indent } from './text.ts';

const path = `${directory}/install.sh`;

export const kubeadm: Format = {
  bare: true,
  render: (rendering) => `${heading(rendering)}
# For spec.kubeadmConfigSpec of a KubeadmControlPlane, and spec.template.spec of a KubeadmConfigTemplate.
files:
  - path: ${path}
    owner: root:root
    permissions: "0644"
    content: |
${indent(installer(rendering), 6)}
preKubeadmCommands:
  - sh ${path}
`,
};
