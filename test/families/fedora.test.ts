import { tryFamily } from './rows.ts';
import { fedora } from './systems/rhel.ts';

tryFamily(fedora);
