// The files of a node that tell its services how to run, at the places where kubeadm and Debian have them.
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { nodeNames, type NodeName, type NodeOptions } from '../cluster.ts';
import { network, pauseImage, trustBundleGates } from './layout.ts';
import { kubeconfigOf, pkiFile } from './pki.ts';

export const networkConfig = '/etc/cni/net.d/10-bridge.conflist';
export const kubeletKubeconfig = '/etc/kubernetes/kubelet.conf';
export const kubeletConfig = '/var/lib/kubelet/config.yaml';
export const proxyConfig = '/var/lib/kube-proxy/config.conf';

/** By path, with their text. */
export function nodeFiles(node: NodeName, options: NodeOptions): Record<string, string> {
  const hosts = nodeNames.map((name) => `${network.nodes[name]} ${name}`);
  return {
    '/etc/hostname': `${node}\n`,
    '/etc/machine-id': `${randomBytes(16).toString('hex')}\n`,
    '/etc/hosts': ['127.0.0.1 localhost', ...hosts, ''].join('\n'),
    // No name server: who looks up a name hears at once that there is none.
    '/etc/resolv.conf': '',
    '/etc/crictl.yaml': 'runtime-endpoint: unix:///run/containerd/containerd.sock\n',
    '/etc/containerd/config.toml': containerdConfig(),
    '/etc/kubernetes/pki/ca.crt': readFileSync(pkiFile('ca.crt'), 'utf8'),
    '/var/lib/kubelet/pki/kubelet.crt': readFileSync(pkiFile(`${node}-server.crt`), 'utf8'),
    '/var/lib/kubelet/pki/kubelet.key': readFileSync(pkiFile(`${node}-server.key`), 'utf8'),
    [kubeletKubeconfig]: kubeconfigOf(node),
    [kubeletConfig]: yaml({ ...kubelet(node), ...options.kubelet }),
    '/var/lib/kube-proxy/kubeconfig.conf': kubeconfigOf('proxy'),
    [proxyConfig]: yaml(proxy(node)),
    ...(options.cni === false ? {} : { [networkConfig]: json(podNetwork(node)) }),
  };
}

/** A line for each field, so that a script can change one or add one. JSON is YAML. */
function yaml(fields: Readonly<Record<string, unknown>>): string {
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${JSON.stringify(value)}\n`);
  return lines.join('');
}

function json(value: unknown): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

function containerdConfig(): string {
  return `version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  # A profile would be loaded into the kernel, for the whole machine.
  disable_apparmor = true
  # Root of a machine in a sandbox may not lower this number, and no pod could start.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "/etc/containerd/certs.d"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
`;
}

function kubelet(node: NodeName): Record<string, unknown> {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    address: network.nodes[node],
    healthzBindAddress: '127.0.0.1',
    tlsCertFile: '/var/lib/kubelet/pki/kubelet.crt',
    tlsPrivateKeyFile: '/var/lib/kubelet/pki/kubelet.key',
    authentication: { anonymous: { enabled: false }, x509: { clientCAFile: '/etc/kubernetes/pki/ca.crt' } },
    authorization: { mode: 'Webhook' },
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    cgroupDriver: 'cgroupfs',
    featureGates: Object.fromEntries(trustBundleGates.map((gate) => [gate, true])),
    // The machine decides on both, and has not decided for Kubernetes.
    failSwapOn: false,
    failCgroupV1: false,
    clusterDomain: 'cluster.local',
    // A node shares the machine's disk, however full that is, and cannot pull an image again.
    evictionHard: { 'memory.available': '100Mi', 'nodefs.available': '1%', 'imagefs.available': '1%' },
    imageGCHighThresholdPercent: 100,
    imageGCLowThresholdPercent: 99,
  };
}

function proxy(node: NodeName): Record<string, unknown> {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    mode: 'iptables',
    hostnameOverride: node,
    clientConnection: { kubeconfig: '/var/lib/kube-proxy/kubeconfig.conf' },
    clusterCIDR: network.pods,
    healthzBindAddress: '127.0.0.1:10256',
    metricsBindAddress: '127.0.0.1:10249',
    // Connection tracking has limits for the machine, not for a node: they stay as they are.
    conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  };
}

function podNetwork(node: NodeName): Record<string, unknown> {
  const ranges = [[{ subnet: network.podsOf[node] }]];
  return {
    cniVersion: '0.4.0',
    name: 'pods',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isDefaultGateway: true,
        hairpinMode: true,
        ipam: { type: 'host-local', ranges },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}
