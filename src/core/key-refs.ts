import { matchesRef } from '../model/ref-pattern.ts';

/**
 * Why a deploy key may not write a ref; undefined where it may.
 *
 * @param patterns - what its key is bound to; undefined for whoever is bound to none
 */
export function keyRefusal(
  patterns: readonly string[] | undefined,
  ref: string,
): string | undefined {
  if (patterns === undefined || patterns.some((pattern) => matchesRef(pattern, ref))) {
    return undefined;
  }
  return `this deploy key writes only ${patterns.join(', ')}`;
}
