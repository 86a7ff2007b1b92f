import t from 'tap';
import { standAlone } from '../../support/front.ts';
import { scenarios } from './scenarios.ts';

standAlone(t);
await scenarios(t, 'node');
