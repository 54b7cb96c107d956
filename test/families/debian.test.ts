import { tryFamily } from './rows.ts';
import { debian } from './systems/debian.ts';

tryFamily(debian);
