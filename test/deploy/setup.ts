// What renders the manifests has to be there: neither is a Debian package.
import { bringOnPath } from '../cluster/binaries.ts';

export default function setup(): Promise<void> {
  return bringOnPath('kubectl', 'helm');
}
