import { refFault } from './ref.ts';

/** The longest pattern: with it, a match takes at most so many steps for each character of a ref. */
const longestPattern = 256;

/** A pattern as a full one: what does not begin with `refs/` names branches. */
export function fullPattern(pattern: string): string {
  return pattern.startsWith('refs/') ? pattern : `refs/heads/${pattern}`;
}

/** Why a word is no pattern for refs; undefined when it is one. */
export function refPatternFault(pattern: string): string | undefined {
  if (pattern.length > longestPattern) return `it is longer than ${longestPattern} characters`;
  if (pattern.includes('***')) return 'it has three stars in a row';
  return refFault(fullPattern(pattern).replaceAll('*', 'x'));
}

/** One piece of a pattern: a character, `*` or `**`. */
function pieces(pattern: string): readonly string[] {
  return pattern.match(/\*\*|./gu) ?? [];
}

/**
 * Whether a full ref name fits a pattern, the whole of it: `*` stands for characters but no slash, `**` for any.
 * It walks the ref once and keeps every place in the pattern that it could be at, so no pattern can make it slow (S17).
 *
 * @param pattern - a full ref, or a branch name
 */
export function matchesRef(pattern: string, ref: string): boolean {
  if (pattern.length > longestPattern) return false;
  const whole = fullPattern(pattern);
  const star = whole.indexOf('*');
  if (star < 0) return whole === ref;
  // Most refs differ from most patterns here already.
  if (!ref.startsWith(whole.slice(0, star))) return false;
  if (whole.slice(star) === '**') return true;
  const parts = pieces(whole);
  let places = withoutStars(parts, new Set([0]));
  for (const char of ref) {
    const next = new Set<number>();
    for (const place of places) {
      const part = parts[place];
      if (part === char) next.add(place + 1);
      else if (part === '**' || (part === '*' && char !== '/')) next.add(place);
    }
    if (next.size === 0) return false;
    places = withoutStars(parts, next);
  }
  return places.has(parts.length);
}

/** The places, and those behind stars there: a star may stand for nothing. */
function withoutStars(parts: readonly string[], places: Set<number>): Set<number> {
  // A set is walked to its end, also over what is added on the way.
  for (const place of places) {
    const part = parts[place];
    if (part === '*' || part === '**') places.add(place + 1);
  }
  return places;
}
