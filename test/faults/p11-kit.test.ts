// The same where p11-kit makes the store, and the host's own tool publishes: on RHEL.
import { test } from 'vitest';
import { rhel } from '../families/systems/rhel.ts';
import { tryEveryCall } from './harness/every-call.ts';
import type { Kind } from './harness/stage.ts';

const { anchors, bundle } = rhel;
const kind: Kind = {
  ...{ name: 'rhel', anchors, bundle, isMade: false, workshop: '/etc/pki/ca-trust/extracted' },
  looked: ['/etc/pki/ca-trust/source', '/etc/pki/ca-trust/extracted/.node-ca-trust-default', bundle],
};

test('a pass over p11-kit that is killed, or fails, at any call', async (context) => {
  await tryEveryCall(context, { kind, system: rhel, faults: 3 });
});
