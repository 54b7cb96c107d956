import { tryFamily } from './rows.ts';
import { suse } from './systems/suse.ts';

tryFamily(suse);
