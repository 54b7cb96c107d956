/**
 * A configuration for Ignition, for Flatcar and the CoreOS systems of Fedora and Red Hat. Of its specification 3 only what
 * every version has. It only writes files: the unit brings them into the store, at the first boot and before the container
 * runtimes. Ignition's own security.tls is for what Ignition fetches, and for nothing else.
 */
import type { Format } from './format.ts';
import { nodeFiles } from './node-files.ts';
import { pathName, pathUnit, serviceName, serviceUnit } from './units.ts';

export const ignition: Format = {
  bare: true,
  whenTooLarge: 'keep it where Ignition can fetch it, and name that in ignition.config.merge',
  render(rendering) {
    const files = nodeFiles(rendering).map(({ path, text }) => ({
      path,
      mode: 0o644,
      overwrite: true,
      contents: { source: `data:;base64,${Buffer.from(text).toString('base64')}` },
    }));
    const units = [
      { name: serviceName, enabled: true, contents: serviceUnit },
      { name: pathName, enabled: true, contents: pathUnit },
    ];
    const configuration = { ignition: { version: '3.0.0' }, storage: { files }, systemd: { units } };
    return `${JSON.stringify(configuration, undefined, 2)}\n`;
  },
};
