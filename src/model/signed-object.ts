/** An SSH signature in a git object, and what it was made over. */
export interface SignedPart {
  /** Armoured, as `ssh-keygen -Y sign` writes it. */
  readonly signature: string;
  readonly message: Buffer;
}

const begin = '-----BEGIN SSH SIGNATURE-----';
const header = 'gpgsig';

/**
 * The signature in a commit: a header of its own, of which exactly one is taken, so that what one reader leaves out no
 * other sees.
 *
 * @returns undefined when there is none, or one of another kind
 * @see gitformat-signature(5)
 */
export function signedCommit(object: Buffer): SignedPart | undefined {
  // latin1 keeps every byte as it is.
  const text = object.toString('latin1');
  const end = text.indexOf('\n\n');
  const head = (end < 0 ? text : text.slice(0, end)).split('\n');
  const first = head.findIndex((line) => line.startsWith(header));
  if (first < 0 || !head[first]?.startsWith(`${header} ${begin}`)) return undefined;
  let last = first + 1;
  while (head[last]?.startsWith(' ')) last += 1;
  if (head.slice(last).some((line) => line.startsWith(header))) return undefined;
  const [line = '', ...more] = head.slice(first, last);
  const lines = [line.slice(header.length + 1), ...more.map((each) => each.slice(1))];
  const kept = [...head.slice(0, first), ...head.slice(last)].join('\n');
  const message = `${kept}${end < 0 ? '' : text.slice(end)}`;
  return { signature: lines.join('\n'), message: Buffer.from(message, 'latin1') };
}

/** The signature at the end of an annotated tag. @returns undefined when there is none, or one of another kind */
export function signedTag(object: Buffer): SignedPart | undefined {
  const text = object.toString('latin1');
  const at = text.lastIndexOf(`\n${begin}`) + 1;
  if (at === 0) return undefined;
  return { signature: text.slice(at), message: Buffer.from(text.slice(0, at), 'latin1') };
}

/** What an annotated tag says that it names. @returns undefined when it is no tag */
export function taggedObject(object: Buffer): { oid: string; type: string } | undefined {
  const head = object.toString('latin1', 0, 80);
  const [, oid, type] = /^object ([0-9a-f]{40})\ntype ([a-z]+)\n/.exec(head) ?? [];
  return oid === undefined || type === undefined ? undefined : { oid, type };
}
