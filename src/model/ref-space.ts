/**
 * The names that refs of a repository have: of `a` and `a/b` only one can be, for git keeps the one as a file and the
 * other in a folder of that name.
 *
 * @see git-check-ref-format(1)
 */
export class RefSpace {
  readonly #names: ReadonlySet<string>;
  /** By a folder, one of the names in it. */
  readonly #folders = new Map<string, string>();

  constructor(names: Iterable<string>) {
    this.#names = new Set(names);
    for (const name of this.#names) {
      for (const folder of foldersOf(name)) this.#folders.set(folder, name);
    }
  }

  /** The ref that another one can't be beside; undefined where there is none. */
  inTheWay(ref: string): string | undefined {
    return foldersOf(ref).find((folder) => this.#names.has(folder)) ?? this.#folders.get(ref);
  }
}

/** `refs/heads/a` and `refs/heads/a/b` of `refs/heads/a/b/c`. */
function foldersOf(ref: string): string[] {
  const parts = ref.split('/');
  return parts.slice(3).map((_, at) => parts.slice(0, at + 3).join('/'));
}
