// What renders and judges the manifests has to be there: kubectl and helm are no Debian packages.
import { bringOnPath } from '../cluster/binaries.ts';
import { bringPrometheus } from './prometheus.ts';

export default async function setup(): Promise<void> {
  await bringOnPath('kubectl', 'helm');
  await bringPrometheus();
}
