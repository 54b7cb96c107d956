// Builds the programs of Kubernetes and of others that suites need and the cache lacks.
import { ensureBinaries } from './binaries.ts';

await ensureBinaries(() => true);
