import { existsSync } from 'node:fs';
import t from 'tap';
import { clientPath } from '../../support/front.ts';
import { scenarios } from './scenarios.ts';

if (existsSync(clientPath())) await scenarios(t, 'client');
else t.comment('no C compiler was there when cpm was prepared: sshd starts Node alone');
