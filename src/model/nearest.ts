/**
 * The known word that a mistyped one most likely stands for.
 *
 * @returns undefined when none is near, and for a word of which nothing would be left as it is
 */
export function nearest<T extends string>(word: string, known: Iterable<T>): T | undefined {
  const typed = word.slice(0, 64);
  let best: { word: T; distance: number } | undefined;
  for (const candidate of known) {
    const distance = editDistance(typed, candidate);
    const tolerable = Math.max(2, candidate.length / 3);
    if (distance > tolerable || distance >= Math.min(typed.length, candidate.length)) continue;
    if (best === undefined || distance < best.distance) best = { word: candidate, distance };
  }
  return best?.word;
}

/** A hint with a guess in front of it, where there is one. */
export function guessed(guess: string | undefined, hint: string): string {
  return guess === undefined ? hint : `did you mean ${guess}? ${hint}`;
}

/** How many letters to put in, take out, replace or swap with their neighbour (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (last[j - 1] ?? 0) + Number(a[i - 1] !== b[j - 1]);
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (beforeLast[j - 2] ?? 0) + 1 : replaced;
      row.push(Math.min(replaced, swapped, (last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    beforeLast = last;
    last = row;
  }
  return last.at(-1) ?? 0;
}
