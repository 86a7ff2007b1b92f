import { createHash } from 'node:crypto';
import { isOid } from './oid.ts';
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
  /** The digest of the list that the lines are changes of; undefined for a whole list. */
  readonly from: string | undefined;
  readonly refs: RefList;
  readonly deleted: ReadonlySet<string>;
}

/** The text of the file `refs`: `oid ref` lines, `-ref` for a deletion that was meant. */
export function writeRefsFile(
  refs: RefList,
  deleted: ReadonlySet<string>,
  from: { digest: string; refs: RefList } | undefined,
): string {
  const gone = [...deleted].sort().map((ref) => `- ${ref}\n`);
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
): Pick<RefsFile, 'refs' | 'deleted'> {
  const [head = '', ...lines] = text.split('\n');
  if (lines.pop() !== '') throw new Error('its last line is cut off');
  const from = /^from ([0-9a-f]{64})$/.exec(head)?.[1];
  if (head !== 'all' && from === undefined) throw new Error('its first line is none of ours');
  if (from !== undefined && from !== known?.digest) throw new UnknownList();
  const refs = new Map(from === undefined ? [] : known?.refs);
  const deleted = new Set<string>();
  const seen = new Set<string>();
  for (const line of lines) {
    const mark = line.startsWith('- ') ? '-' : line.slice(0, 40);
    const ref = line.slice(mark.length + 1);
    const fault = mark !== '-' && !isOid(mark) ? 'it is no line of a list' : faultOf(ref);
    if (fault !== undefined || line[mark.length] !== ' ') throw new Error(fault ?? 'a blank lacks');
    if (seen.has(`${mark === '-'} ${ref}`)) throw new Error('a ref stands in it twice');
    seen.add(`${mark === '-'} ${ref}`);
    if (mark === '-') deleted.add(ref);
    else if (mark === nullOid) refs.delete(ref);
    else refs.set(ref, mark);
  }
  refuseClashes(refs);
  return { refs, deleted: new Set([...deleted].filter((ref) => !refs.has(ref))) };
}

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
