/**
 * The formats that a bundle can be rendered in. One is added by adding one file, and one line here and in names.ts.
 */
import { bottlerocket } from './bottlerocket.ts';
import { cloudInit } from './cloud-init.ts';
import type { Format } from './format.ts';
import { ignition } from './ignition.ts';
import { kubeadm } from './kubeadm.ts';
import type { FormatName } from './names.ts';
import { systemd } from './systemd.ts';
import { talos } from './talos.ts';

export const formats: Readonly<Record<FormatName, Format>> = {
  'cloud-init': cloudInit,
  ignition,
  systemd,
  kubeadm,
  talos,
  bottlerocket,
};
