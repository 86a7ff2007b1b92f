import type { AnswerSchema } from './command.ts';

/** Pieces that the answers of several commands share. */
export const string: AnswerSchema = { type: 'string' };
export const integer: AnswerSchema = { type: 'integer' };
export const boolean: AnswerSchema = { type: 'boolean' };
export const maybeInteger: AnswerSchema = { type: ['integer', 'null'] };
export const maybe: AnswerSchema = { type: ['string', 'null'] };
export const time: AnswerSchema = { type: 'string', format: 'date-time' };
export const maybeTime: AnswerSchema = { type: ['string', 'null'], format: 'date-time' };

/** An object whose properties are always there, but for the optional ones. */
export function object(
  properties: Readonly<Record<string, AnswerSchema>>,
  optional: Readonly<Record<string, AnswerSchema>> = {},
): AnswerSchema {
  return {
    type: 'object',
    properties: { ...properties, ...optional },
    required: Object.keys(properties),
  };
}

/** An object whose fields depend on what it is about. */
export const anything: AnswerSchema = { type: 'object', additionalProperties: true };

export function array(items: AnswerSchema): AnswerSchema {
  return { type: 'array', items };
}

/** What every changing command answers at least. */
export const changed = object({ changed: boolean });
export const changedId = object({ changed: boolean, id: string });

/** Pages of a list as one stream of rows. */
export async function* paged<T>(
  page: (after: T | undefined) => Promise<readonly T[]>,
): AsyncGenerator<T> {
  let last: T | undefined;
  for (;;) {
    const rows = await page(last);
    if (rows.length === 0) return;
    yield* rows;
    last = rows.at(-1);
  }
}

/** The thing an ask was about; its absence is a defect of the command. */
export function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('a command asked for nothing and needs something');
  return value;
}
