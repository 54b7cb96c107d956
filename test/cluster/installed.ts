// What the tests install: deploy/base, or an overlay that does the same work with less privilege.
import { join } from 'node:path';
import { project } from '../image/machine.ts';

export const overlays = join(project, 'deploy/overlays');
/** NODE_CA_TRUST_OVERLAY names what stands in the place of deploy/base. */
export const overlay = process.env['NODE_CA_TRUST_OVERLAY'];
export const base = overlay === undefined ? join(project, 'deploy/base') : join(overlays, overlay);
