import type { Sighting } from './look.ts';

/** How many are looked at at once, and how far that may grow while nothing but silence answers. */
export interface Pace {
  readonly parallel: number;
  readonly most: number;
  readonly signal: AbortSignal;
}

/** One that was looked at. */
export interface Looked {
  readonly host: string;
  readonly sighting: Sighting;
}

/** Each silence costs nobody anything but time: for two of them one more is looked at at once. */
const growth = 0.5;

/**
 * Looks at hosts, as many at once as the pace allows, and hands out what was found as it comes. Nothing is kept: a
 * thousand hosts that answer cost no more than one.
 *
 * @param look - never rejects but on abort
 */
export async function* scan(
  hosts: Iterator<string>,
  look: (host: string) => Promise<Sighting>,
  { parallel, most, signal }: Pace,
): AsyncGenerator<Looked> {
  let window = parallel;
  const running = new Set<Promise<void>>();
  const found: Looked[] = [];
  const fill = () => {
    while (!signal.aborted && running.size < Math.floor(window)) {
      const { value: host, done } = hosts.next();
      if (done === true) return;
      const work: Promise<void> = look(host).then(
        (sighting) => {
          running.delete(work);
          found.push({ host, sighting });
        },
        () => void running.delete(work),
      );
      running.add(work);
    }
  };
  for (fill(); running.size > 0 || found.length > 0; fill()) {
    if (found.length === 0) await Promise.race(running);
    // Thousands that fail at once, for no way leads there, would keep the loop from hearing those that answer.
    await new Promise(setImmediate);
    for (const each of found.splice(0)) {
      if (each.sighting.kind === 'silent') window = Math.min(most, window + growth);
      yield each;
    }
  }
}
