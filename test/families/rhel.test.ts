import { tryFamily } from './rows.ts';
import { rhel } from './systems/rhel.ts';

tryFamily(rhel);
