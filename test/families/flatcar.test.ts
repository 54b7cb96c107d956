import { expect, test } from 'vitest';
import { makeThree } from '../sandbox/harness/certs.ts';
import { everywhere, nowhere, oneLine, scene, trust, tryFamily } from './rows.ts';
import { cos } from './systems/cos.ts';
import { flatcar } from './systems/flatcar.ts';

tryFamily(flatcar);

const [kept, next] = await makeThree();

// What is built beside that directory, since Go programs read all that is in it, cannot be moved into another mount.
test.each([flatcar, cos])(
  'the certificate directory as a mount of its own is named, and left as it is ($name)',
  async (system) => {
    const { world, secret, apply } = await scene(system, { 'ca.crt': kept.pem });
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    await secret.swap({ 'ca.crt': next.pem });
    {
      await using mounted = await world.limitSpace(system.anchors, 4 * 2 ** 20);
      const { code, stderr } = await apply(secret.directory);
      expect(code).toBe(1);
      expect(oneLine(stderr)).toMatch(
        /in the place of \/etc\/ssl\/certs\/.* mount their common directory as one \(EXDEV\)$/m,
      );
      expect(await trust(system, world, kept)).toEqual(everywhere);
      expect(await trust(system, world, next)).toEqual(nowhere);
      await mounted.undo();
    }
    expect(await apply(secret.directory)).toMatchObject({ code: 0 });
    expect(await trust(system, world, next)).toEqual(everywhere);
  },
);
