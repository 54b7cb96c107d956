import { tryFamily } from './rows.ts';
import { cos } from './systems/cos.ts';

tryFamily(cos);
