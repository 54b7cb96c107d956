// The programs that these tests start have to be there: neither of them is a Debian package.
import { ensureBinaries } from '../cluster/binaries.ts';

export default async function setup(): Promise<void> {
  await ensureBinaries((program) => ['etcd', 'kube-apiserver'].includes(program));
}
