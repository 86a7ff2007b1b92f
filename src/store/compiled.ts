import type { Compilable, CompiledQuery } from 'kysely';
import type { Database } from './sqlite.ts';

/** Stands in a query where each run has a value of its own. */
class Blank {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

/**
 * A query that is put together at its first run and kept: for what each request asks, where building the text took most
 * of the time.
 *
 * @param build - gets the values one by one, and may only hand them on as values; called once
 * @returns runs it and gives its rows
 */
export function compiled<V extends readonly unknown[], R>(
  db: Database,
  build: (...values: V) => Compilable<R>,
): (...values: V) => Promise<R[]> {
  let query: CompiledQuery<R> | undefined;
  return async (...values) => {
    query ??= build(...(values.map((_, index) => new Blank(index)) as unknown as V)).compile();
    const parameters = query.parameters.map((each) =>
      each instanceof Blank ? values[each.index] : each,
    );
    return (await db.executeQuery<R>({ ...query, parameters })).rows;
  };
}
