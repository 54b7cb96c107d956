import * as fs from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createServer as createTcpServer } from 'node:net';
import { createServer } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openHost } from '../../../src/host/host.ts';
import { probeAll } from '../../../src/stores/probe.ts';
import { makeCert, makeServerCert } from '../../sandbox/harness/certs.ts';
import { emptyHost } from '../support/directories.ts';

const bundle = '/etc/bundle.crt';

describe('probeAll', () => {
  it('verifies by no other authorities where the bundle is missing or empty', async () => {
    const host = openHost(emptyHost().root);
    const ask = (): ReturnType<typeof probeAll> => probeAll(host, bundle, [{ host: 'localhost', port: 1 }]);
    const message = '/etc/bundle.crt is missing or empty on the host';
    expect(await ask()).toEqual([{ address: 'localhost:1', verified: false, message }]);
    fs.writeFileSync(join(host.root, bundle), '');
    expect(await ask()).toEqual([{ address: 'localhost:1', verified: false, message }]);
  });

  it('says of each server whether the bundle of the host verifies it, and why not', async () => {
    const ca = await makeCert();
    const { pem, key } = await makeServerCert(ca, ['localhost']);
    const server = createServer({ cert: pem, key });
    await new Promise<void>((resolve) => server.listen(0, resolve));
    const silent = createTcpServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => silent.listen(0, resolve));
    onTestFinished(() => {
      server.close();
      silent.close();
    });
    const { port } = server.address() as AddressInfo;
    const { port: silentPort } = silent.address() as AddressInfo;
    const host = openHost(emptyHost().root);
    fs.writeFileSync(join(host.root, bundle), ca.pem);
    const addresses = [
      { host: 'localhost', port },
      { host: '127.0.0.1', port },
      { host: 'localhost', port: silentPort },
    ];
    expect(await probeAll(host, bundle, addresses)).toEqual([
      { address: `localhost:${port}`, verified: true, message: '' },
      { address: `127.0.0.1:${port}`, verified: false, message: expect.stringMatching(/127\.0\.0\.1/) as string },
      { address: `localhost:${silentPort}`, verified: false, message: expect.stringMatching(/./) as string },
    ]);
    fs.writeFileSync(join(host.root, bundle), (await makeCert()).pem);
    const [unknown] = await probeAll(host, bundle, addresses);
    expect(unknown).toEqual({
      address: `localhost:${port}`,
      verified: false,
      message: expect.stringMatching(/./) as string,
    });
  });
});
