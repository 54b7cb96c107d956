/**
 * The names of the formats, apart from what makes them: the command line has to know no more.
 */
export const formatNames = ['cloud-init', 'ignition', 'systemd', 'kubeadm', 'talos', 'bottlerocket'] as const;

export type FormatName = (typeof formatNames)[number];
