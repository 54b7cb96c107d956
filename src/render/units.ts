/**
 * The systemd units that run the refresh script: at each boot before the container runtimes, and on every change of an
 * anchor directory.
 */
import { requestPath } from '../stores/unit.ts';
import { scriptPath, watchedDirectories } from './refresh-script.ts';

export const serviceName = 'node-ca-trust-refresh.service';
export const pathName = 'node-ca-trust-refresh.path';

/** Whose process reads the store once: it waits for the refresh at boot. Names of units that a node lacks do no harm. */
const readers = [
  ...['containerd', 'crio', 'docker', 'kubelet'],
  ...['k3s', 'k3s-agent', 'rke2-server', 'rke2-agent'],
].map((name) => `${name}.service`);

export const serviceUnit = `[Unit]
Description=Refresh the trust store from the anchors of node-ca-trust
After=local-fs.target
Before=${readers.join(' ')}
# Never given up: systemd would stop watching, too.
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart=/bin/sh ${scriptPath}
TimeoutStartSec=5min
# What others put among the anchors is read by the system's tools: the rest of the node keeps its memory.
MemoryMax=512M

[Install]
WantedBy=multi-user.target
`;

export const pathUnit = `[Unit]
Description=Watch the anchors of node-ca-trust

[Path]
# Asks for a run also while one is under way.
PathExists=${requestPath}
${watchedDirectories.map((directory) => `PathChanged=${directory}\n`).join('')}
[Install]
WantedBy=paths.target
`;
