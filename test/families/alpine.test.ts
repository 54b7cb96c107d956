import { tryFamily } from './rows.ts';
import { alpine } from './systems/alpine.ts';

tryFamily(alpine);
