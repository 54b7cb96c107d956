import { tryFamily } from './rows.ts';
import { flatcar } from './systems/flatcar.ts';

tryFamily(flatcar);
