/** What one line of a push's command list asks: oids are 40 hex digits, the null oid for "none". */
export interface RefCommand {
  readonly ref: string;
  readonly old: string;
  readonly new: string;
}

export const nullOid = '0'.repeat(40);

/** Where everybody may write, by whatever way (S12). */
const writable = ['refs/heads/', 'refs/tags/', 'refs/notes/'] as const;

/** Whether a ref lies where pushes, syncs and undos may write; says nothing of its form. @see refFault */
export function isWritableRef(ref: string): boolean {
  return writable.some((prefix) => ref.startsWith(prefix) && ref.length > prefix.length);
}

/** The longest ref name in bytes: a file of this name, its `.lock` beside it, must fit a path. */
export const longestRef = 1024;

/**
 * Why a word is no full ref name by the rules of git-check-ref-format(1); undefined when it is one.
 * One pass over the name, whatever it holds.
 */
export function refFault(ref: string): string | undefined {
  if (!ref.startsWith('refs/')) return 'it does not begin with refs/';
  if (Buffer.byteLength(ref) > longestRef) return `it is longer than ${longestRef} bytes`;
  const parts = ref.split('/');
  if (parts.includes('')) return 'it has an empty part';
  if (parts.some((part) => part.startsWith('.'))) return 'a part of it begins with "."';
  if (parts.some((part) => part.endsWith('.lock'))) return 'a part of it ends with ".lock"';
  if (ref.endsWith('.')) return 'it ends with "."';
  if (ref.includes('..')) return 'it has ".." in it';
  if (ref.includes('@{')) return 'it has "@{" in it';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\u0000-\u0020\u007f~^:?*[\\]/.test(ref)) {
    return 'it has a blank, a control character or one of ~^:?*[\\ in it';
  }
  return undefined;
}

/** `refs/heads/main` as people say it: `main`; other refs keep their full name. */
export function shortRef(ref: string): string {
  return ref.startsWith('refs/heads/') ? ref.slice('refs/heads/'.length) : ref;
}

/** The refs that a word may mean, the likeliest first: a full name itself; else a branch, a tag, notes of that name. */
export function refsMeantBy(word: string): readonly string[] {
  return word.startsWith('refs/') ? [word] : writable.map((prefix) => `${prefix}${word}`);
}
