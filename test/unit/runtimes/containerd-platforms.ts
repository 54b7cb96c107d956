/**
 * Configurations of containerd as they are found on nodes, by what wrote them; of each as much as bears on pulls, in the
 * shape in which it is written there.
 */

export type Files = Readonly<Record<string, string>>;

export const mainFile = '/etc/containerd/config.toml';
export const usual = '/etc/containerd/certs.d';
export const list = '/etc/containerd/certs.d:/etc/docker/certs.d';

export const cri = 'plugins."io.containerd.grpc.v1.cri"';
export const images = 'plugins."io.containerd.cri.v1.images"';

/** `containerd config default` of 1.6 and 1.7, which kubeadm's guide has people start from. */
export const defaultOfOne = `disabled_plugins = []
imports = []
oom_score = 0
plugin_dir = ""
required_plugins = []
root = "/var/lib/containerd"
state = "/run/containerd"
temp = ""
version = 2

[grpc]
  address = "/run/containerd/containerd.sock"
  gid = 0
  max_recv_message_size = 16777216

[plugins]

  [plugins."io.containerd.gc.v1.scheduler"]
    startup_delay = "100ms"

  [plugins."io.containerd.grpc.v1.cri"]
    image_pull_with_sync_fs = false
    max_concurrent_downloads = 3
    sandbox_image = "registry.k8s.io/pause:3.8"

    [plugins."io.containerd.grpc.v1.cri".containerd]
      default_runtime_name = "runc"
      disable_snapshot_annotations = true
      discard_unpacked_layers = false
      snapshotter = "overlayfs"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes]

        [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
          runtime_type = "io.containerd.runc.v2"

          [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
            SystemdCgroup = true

    [plugins."io.containerd.grpc.v1.cri".registry]
      config_path = ""

      [plugins."io.containerd.grpc.v1.cri".registry.auths]

      [plugins."io.containerd.grpc.v1.cri".registry.configs]

      [plugins."io.containerd.grpc.v1.cri".registry.headers]

      [plugins."io.containerd.grpc.v1.cri".registry.mirrors]

[timeouts]
  "io.containerd.timeout.shim.load" = "5s"
`;

/** `containerd config default` of 2.0 to 2.3: 2.2.0 and 2.2.1 have a list as config_path, the others an empty text. */
export const defaultOfTwo = (version: number, configPath = ''): string => `version = ${version}
root = '/var/lib/containerd'
state = '/run/containerd'
temp = ''
disabled_plugins = []
required_plugins = []
imports = ['/etc/containerd/conf.d/*.toml']

[plugins]
  [plugins.'io.containerd.cri.v1.images']
    snapshotter = 'overlayfs'
    disable_snapshot_annotations = true
    discard_unpacked_layers = false
    max_concurrent_downloads = 3
    image_pull_with_sync_fs = false
    stats_collect_period = 10
    use_local_image_pull = false

    [plugins.'io.containerd.cri.v1.images'.pinned_images]
      sandbox = 'registry.k8s.io/pause:3.10'

    [plugins.'io.containerd.cri.v1.images'.registry]
      config_path = '${configPath}'

  [plugins.'io.containerd.grpc.v1.cri']
    disable_tcp_service = true
    stream_server_address = '127.0.0.1'
`;

/** What Docker's package containerd.io puts there. */
export const docker = `#   Copyright of its owner
disabled_plugins = ["cri"]

#root = "/var/lib/containerd"
#[grpc]
#  address = "/run/containerd/containerd.sock"
`;

export const aksOne = `version = 2
oom_score = -999
[${cri}]
  sandbox_image = "mcr.microsoft.com/oss/kubernetes/pause:3.6"
  [${cri}.containerd]
    default_runtime_name = "runc"
    [${cri}.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
    [${cri}.containerd.runtimes.runc.options]
      BinaryName = "/usr/bin/runc"
  [${cri}.registry]
    config_path = "${usual}"
  [${cri}.registry.headers]
    X-Meta-Source-Client = ["azure/aks"]
[metrics]
  address = "0.0.0.0:10257"
`;

/** Version 2 of the format with the tables of version 3: that is how AKS has it for containerd 2.0 to 2.2. */
export const aksTwo = (version: number): string => `version = ${version}
oom_score = -999
[${images}]
  [${images}.pinned_images]
    sandbox = "mcr.microsoft.com/oss/v2/kubernetes/pause:3.6"
  [${images}.registry]
    config_path = "${usual}"
  [${images}.registry.headers]
    X-Meta-Source-Client = ["azure/aks"]
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "runc"
`;

export const eksOne = `version = 2
root = "/var/lib/containerd"

[grpc]
address = "/run/containerd/containerd.sock"

[${cri}.containerd]
default_runtime_name = "runc"
discard_unpacked_layers = true

[${cri}]
sandbox_image = "localhost/kubernetes/pause"

[${cri}.registry]
config_path = "${list}"

[${cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
`;

export const eksTwo = `version = 3

[grpc]
address = "/run/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.images']
discard_unpacked_layers = true

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "localhost/kubernetes/pause"

[${images}.registry]
config_path = "${list}"
`;

export const gke = `version = 2
oom_score = -999
[${cri}]
  stream_server_address = "127.0.0.1"
  max_container_log_line_size = 262144
[${cri}.registry]
  config_path = "/etc/containerd/hosts.d"
`;

export const kind = `version = 2

[proxy_plugins]
[proxy_plugins."fuse-overlayfs"]
  type = "snapshot"
  address = "/run/containerd-fuse-overlayfs.sock"

[${cri}.containerd]
  discard_unpacked_layers = true
  snapshotter = "overlayfs"
  default_runtime_name = "runc"
[${cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
`;

/** k3s; RKE2's is the same with its own name. */
export const k3s = (product: string): { argv: readonly string[]; files: Files } => {
  const agent = `/var/lib/rancher/${product}/agent`;
  return {
    argv: ['containerd', '-c', `${agent}/etc/containerd/config.toml`],
    files: {
      [`${agent}/etc/containerd/config.toml`]: `# File generated by ${product}. DO NOT EDIT.
version = 3
imports = ["${agent}/etc/containerd/config-v3.toml.d/*.toml"]
root = "${agent}/containerd"
state = "/run/k3s/containerd"

[grpc]
  address = "/run/k3s/containerd/containerd.sock"

[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "${agent}/etc/containerd/certs.d"
`,
    },
  };
};

/** What NVIDIA's toolkit adds beside the main file. */
export const nvidia = `version = 2
[${cri}.containerd]
  default_runtime_name = "nvidia"
[${cri}.containerd.runtimes.nvidia]
  runtime_type = "io.containerd.runc.v2"
`;
