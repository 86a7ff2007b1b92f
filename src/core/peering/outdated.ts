import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../../model/errors.ts';
import { jittered } from './couriers.ts';

/**
 * While a list of refs was on its way, another run of the same two servers told newer things of the one that sent it.
 * What is merely old in such a list would be taken for a change: nothing of it is done.
 */
export class Outdated extends UserError {
  constructor(cause?: unknown) {
    super('unavailable', 'the two servers agreed on something else meanwhile', {
      hint: 'run it again',
      cause,
    });
  }
}

const tries = 5;
const firstPauseMs = 40;

/** Does a run again from its beginning that met another one of the same two servers; both may, so each waits a little. */
export async function untilCurrent<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Outdated) || attempt === tries) throw error;
    }
    await sleep(jittered(firstPauseMs * 2 ** attempt), undefined, { signal });
  }
}

/** @returns undefined where another run was agreed meanwhile */
export async function unlessOutdated<T>(work: Promise<T>): Promise<T | undefined> {
  return work.catch((error) => {
    if (error instanceof Outdated) return undefined;
    throw error;
  });
}
