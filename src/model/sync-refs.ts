import { createHash } from 'node:crypto';
import { isWritableRef, nullOid, refFault } from './ref.ts';

/** Refs by name, each with the oid that it holds. */
export type RefList = ReadonlyMap<string, string>;

/** A list's lines in the order of their bytes, as its digest and the file `refs` have them. */
export function refLines(refs: RefList): string[] {
  return inByteOrder([...refs.keys()]).map((ref) => `${refs.get(ref)} ${ref}\n`);
}

const surrogate = /[\ud800-\udfff]/;

/** Without characters beyond U+FFFF the order of the code units is that of the bytes, and takes no copy of each name. */
function inByteOrder(names: string[]): string[] {
  if (!names.some((name) => surrogate.test(name))) return names.sort();
  const bytes = names.map((name) => [Buffer.from(name), name] as const);
  return bytes.sort(([one], [other]) => Buffer.compare(one, other)).map(([, name]) => name);
}

/** What two servers compare in place of whole lists: the SHA-256 of the sorted lines, in hexadecimal. */
export function refsDigest(refs: RefList): string {
  return linesDigest(refLines(refs).join(''));
}

/** The digest of a list whose lines are at hand. @param text - all of them, as `refLines` has them */
export function linesDigest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/**
 * What a sender says of its refs: all of them, or what changed since a list that both sides know; and which of those
 * that it has no more it deleted, for what is merely absent is deleted nowhere.
 */
export interface RefsFile {
  readonly refs: RefList;
  /**
   * What the creations are called of those refs that the receiver did not have: the same on every server that took the
   * ref from there, and another one when it is created again. By it a ref that comes late, on another way, is told from
   * one that was made anew (the tags of an observed-remove set: Shapiro et al., INRIA RR-7506, 2011).
   */
  readonly births: ReadonlyMap<string, string>;
  readonly deleted: ReadonlyMap<string, Deletion>;
}

/** What the deletion of a ref took away. */
export interface Deletion {
  readonly oid: string;
  /** undefined where nothing is known of the ref's creation. */
  readonly birth: string | undefined;
}

const noBirth = '0'.repeat(32);

/** The text of the file `refs`: `oid ref` lines, `+ birth ref` for creations, `- oid birth ref` for what was deleted. */
export function writeRefsFile(
  { refs, births, deleted }: RefsFile,
  from: { digest: string; refs: RefList } | undefined,
): string {
  const made = [...births].map(([ref, birth]) => `+ ${birth} ${ref}\n`);
  const ended = [...deleted].map(
    ([ref, { oid, birth }]) => `- ${oid} ${birth ?? noBirth} ${ref}\n`,
  );
  const gone = [...made.sort(), ...ended.sort()];
  if (from === undefined) return ['all\n', ...refLines(refs), ...gone].join('');
  const changed = [...refs].filter(([ref, oid]) => from.refs.get(ref) !== oid);
  const absent = [...from.refs.keys()].filter((ref) => !refs.has(ref));
  const lost = absent.sort().map((ref) => `${nullOid} ${ref}\n`);
  return [`from ${from.digest}\n`, ...refLines(new Map(changed)), ...lost, ...gone].join('');
}

/** The two sides have agreed on another list since a sender began. */
export class UnknownList extends Error {
  constructor() {
    super('it begins at an unknown list');
  }
}

/**
 * Reads the file `refs` of another server, which may hold anything (admission A3).
 *
 * @param known - the list that it may be changes of
 * @throws UnknownList; Error with the reason why it is not taken
 */
export function readRefsFile(
  text: string,
  known: { digest: string; refs: RefList } | undefined,
): RefsFile {
  const [head = '', ...lines] = text.split('\n');
  if (lines.pop() !== '') throw new Error('its last line is cut off');
  const from = /^from ([0-9a-f]{64})$/.exec(head)?.[1];
  if (head !== 'all' && from === undefined) throw new Error('its first line is none of ours');
  if (from !== undefined && from !== known?.digest) throw new UnknownList();
  const refs = new Map(from === undefined ? [] : known?.refs);
  const births = new Map<string, string>();
  const deleted = new Map<string, Deletion>();
  const seen = new Set<string>();
  for (const line of lines) {
    const { sign = '', oid = '', birth = '', ref = '' } = lineParts.exec(line)?.groups ?? {};
    const shape = [sign, oid && 'oid', birth && 'birth'].filter(Boolean).join(' ');
    const fault = lineShapes.has(shape) ? faultOf(ref) : 'it is no line of a list';
    if (fault !== undefined) throw new Error(fault);
    if (seen.has(`${sign} ${ref}`)) throw new Error('a ref stands in it twice');
    seen.add(`${sign} ${ref}`);
    if (sign === '+') births.set(ref, birth);
    else if (sign === '-') deleted.set(ref, { oid, birth: birth === noBirth ? undefined : birth });
    else if (oid === nullOid) refs.delete(ref);
    else refs.set(ref, oid);
  }
  refuseClashes(refs);
  return {
    refs,
    births: new Map([...births].filter(([ref]) => refs.has(ref))),
    deleted: new Map([...deleted].filter(([ref]) => !refs.has(ref))),
  };
}

const lineParts =
  /^(?:(?<sign>[+-]) )?(?:(?<oid>[0-9a-f]{40}) )?(?:(?<birth>[0-9a-f]{32}) )?(?<ref>.+)$/;
/** What may stand before a ref. @see writeRefsFile */
const lineShapes = new Set(['oid', '+ birth', '- oid birth']);

function faultOf(ref: string): string | undefined {
  if (!isWritableRef(ref)) return 'a ref lies where nobody may write';
  return refFault(ref);
}

/** A ref can't be a file and the folder of another. */
function refuseClashes(refs: RefList): void {
  for (const ref of refs.keys()) {
    for (let at = ref.lastIndexOf('/'); at > 0; at = ref.lastIndexOf('/', at - 1)) {
      if (refs.has(ref.slice(0, at))) throw new Error('the name of a ref begins with another');
    }
  }
}

/** The refs that two lists do not have alike. */
export function differing(one: RefList, other: RefList): string[] {
  const names = new Set([...one.keys(), ...other.keys()]);
  return [...names].filter((ref) => one.get(ref) !== other.get(ref));
}

const sumBytes = 32;
const sumModulus = 1n << 256n;

/** The sum of nothing: that of a repository without refs. */
export const emptySum = '0'.repeat(sumBytes * 2);

/**
 * A list of refs as one number that follows each change of it at the cost of the change: the SHA-256 of every line,
 * added up. It tells servers that trust each other whether to look; what is taken is checked by `refsDigest`.
 *
 * @param sum - of the list before
 * @param moves - refs with the value that each had and has now; the null oid where it does not exist
 */
export function moveSum(
  sum: string,
  moves: Iterable<{ readonly ref: string; readonly old: string; readonly new: string }>,
): string {
  let total = BigInt(`0x${sum}`);
  for (const { ref, old, new: next } of moves) {
    if (old !== nullOid) total -= lineNumber(old, ref);
    if (next !== nullOid) total += lineNumber(next, ref);
  }
  const positive = ((total % sumModulus) + sumModulus) % sumModulus;
  return positive.toString(16).padStart(sumBytes * 2, '0');
}

function lineNumber(oid: string, ref: string): bigint {
  return BigInt(`0x${createHash('sha256').update(`${oid} ${ref}\n`).digest('hex')}`);
}
