import type { Answerer } from './asked.ts';
import { answerCaps } from './caps.ts';
import { answerChanges } from './changes.ts';
import { answerEnd } from './endings.ts';
import { answerKeys } from './key-exchange.ts';
import { answerList } from './listing.ts';
import { answerCompare, answerShow } from './rehearse.ts';
import { answerHeritage, answerLead } from './take-over.ts';

/** Questions that take one answer and leave nothing open; the rest are the desk's own. */
export const verbs: ReadonlyMap<unknown, Answerer> = new Map<unknown, Answerer>([
  ['caps', answerCaps],
  ['changes', answerChanges],
  ['compare', answerCompare],
  ['end', answerEnd],
  ['heritage', answerHeritage],
  ['lead', answerLead],
  ['keys', answerKeys],
  ['list', answerList],
  ['show', answerShow],
]);
