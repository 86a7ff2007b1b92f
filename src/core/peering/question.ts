import { UserError } from '../../model/errors.ts';
import type { ToldAt } from '../../store/syncs.ts';

type Check = (value: unknown) => boolean;

/** No name, digest or text of the protocol is longer. */
const longestText = 4096;

const text: Check = (value) => typeof value === 'string' && value.length <= longestText;
const number: Check = (value) => Number.isSafeInteger(value) && Number(value) >= 0;
const flag: Check = (value) => typeof value === 'boolean';
const oid: Check = (value) => typeof value === 'string' && /^[0-9a-f]{40}$/.test(value);
const thing: Check = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const list =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const orAbsent =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
/** Refs, each with its value. */
const refs = list(
  (pair) => Array.isArray(pair) && pair.length === 2 && text(pair[0]) && oid(pair[1]),
);
const position = { origin: text, term: number, epoch: number, seq: number, hash: text };
const at =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    thing(value) && Object.entries(fields).every(([name, check]) => check(Object(value)[name]));

const place = at({ epoch: text, seq: number });

/** JSON, of any length. */
const json: Check = (value) => {
  try {
    return typeof value === 'string' && JSON.parse(value) !== undefined;
  } catch {
    return false;
  }
};
const shown = at({
  subjects: list(at({ subject: text, body: json })),
  repos: list(at({ id: text, name: text, refs: text, history: text })),
});
const from: Check = (value) =>
  at({ subject: text })(value) || at({ repo: at({ namespace: text, name: text }) })(value);

/** What the fields of a question are; verbs that are not here read what they are asked by themselves. */
const shapes: ReadonlyMap<unknown, Check> = new Map([
  [
    'offer',
    at({
      repo: at({ id: text, name: text, description: text, visibility: text, defaultBranch: text }),
      ...{ digest: text, known: orNull(text), dryRun: flag },
    }),
  ],
  ['commit', at({ token: text, decided: refs, toldAt: orAbsent(place) })],
  [
    'snapshot',
    at({
      ...{ id: orNull(text), own: orNull(text), name: text },
      ...{ digest: orNull(text), known: orNull(text), have: orNull(refs) },
    }),
  ],
  ['put-tar', at({ token: text, id: text, bytes: number })],
  ['get-tar', at({ token: text })],
  ['done', at({ token: text, digest: text, otherwise: orAbsent(list(text)) })],
  ['log', at({ after: orNull(at(position)) })],
  ['log-take', at({ head: at(position), entries: list(thing) })],
  ['show', at({ from: orNull(from) })],
  ['compare', at({ shown, isFirst: flag })],
  ['lead', at({ take: orNull(at({ token: text, head: at(position) })) })],
  ['heritage', at({ origins: list(text) })],
  ['objects', at({ id: text, oids: list(oid), have: refs })],
]);

/**
 * Reads another server's question, which may be anything.
 *
 * @throws UserError `usage` for what is none of the protocol
 */
export function readQuestion(line: string): { readonly verb: unknown } & Record<string, unknown> {
  let question: unknown;
  try {
    question = JSON.parse(line);
  } catch (cause) {
    throw new UserError('usage', 'this is no question of the protocol', { cause });
  }
  if (!thing(question)) throw new UserError('usage', 'this is no question of the protocol');
  const asked = question as { readonly verb: unknown } & Record<string, unknown>;
  if (shapes.get(asked.verb)?.(asked) !== false) return asked;
  throw new UserError('usage', `this is no question that ${String(asked.verb)} is`);
}

/** A place in another server's log, which may be anything; undefined for none. */
export function readPlace(value: unknown): ToldAt | undefined {
  return place(value) ? (value as ToldAt) : undefined;
}
