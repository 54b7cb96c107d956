import { tryFamily } from './rows.ts';
import { azure } from './systems/rhel.ts';

tryFamily(azure);
