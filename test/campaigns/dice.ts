import { createHash } from 'node:crypto';

/** Numbers that look random and are the same for the same seed, so that a run can be begun again the same way. */
export interface Dice {
  readonly seed: number;
  /** @returns a whole number from 0 to `below` - 1 */
  below(below: number): number;
  pick<T>(things: readonly [T, ...T[]]): T;
}

/** @param seed - of an earlier run; a new one unless told */
export function dice(seed = Number(process.env['CPM_SEED'] ?? Date.now() % 1_000_000)): Dice {
  let rolls = 0;
  const below = (bound: number): number => {
    rolls += 1;
    return createHash('sha256').update(`${seed} ${rolls}`).digest().readUInt32BE() % bound;
  };
  return { seed, below, pick: (things) => things[below(things.length)] ?? things[0] };
}
