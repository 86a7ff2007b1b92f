/** What sshd asks, by the words that its configuration and the key lines give; nothing of the environment is in it (S29). */
export type ForcedWords = {
  /** As given; undefined for the default one. */
  readonly dataDir: string | undefined;
  readonly config: string | undefined;
} & (
  | { readonly command: 'shell'; readonly keyId: string }
  | {
      readonly command: 'authorized-keys';
      /** The account that somebody wants to sign in as: `%u`. */
      readonly user: string;
      /** `%t` */
      readonly type: string;
      /** In base64: `%k`. */
      readonly key: string;
    }
);

const flags = ['data-dir', 'config', 'key-id', 'user', 'type', 'key'];

/**
 * Reads words that are one of the two commands, complete and nothing besides: this runs before anything else of cpm is
 * loaded, and all other words are left to the parser of the command tree.
 */
export function readForced(words: readonly string[]): ForcedWords | undefined {
  const given = new Map<string, string>();
  const rest: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const [, name, value] = /^--([a-z-]+)(?:=(.*))?$/s.exec(words[at] ?? '') ?? [];
    if (name === undefined) rest.push(words[at] ?? '');
    else {
      const taken = value ?? words[++at];
      if (!flags.includes(name) || given.has(name) || taken === undefined) return undefined;
      given.set(name, taken);
    }
  }
  const place = { dataDir: given.get('data-dir'), config: given.get('config') };
  const [user, type, key, keyId] = ['user', 'type', 'key', 'key-id'].map((name) => given.get(name));
  const offers = [user, type, key].filter((word) => word !== undefined).length;
  if (rest.length !== 1) return undefined;
  if (rest[0] === 'shell' && keyId !== undefined && offers === 0) {
    return { ...place, command: 'shell', keyId };
  }
  if (rest[0] !== 'authorized-keys' || keyId !== undefined) return undefined;
  if (user === undefined || type === undefined || key === undefined) return undefined;
  return { ...place, command: 'authorized-keys', user, type, key };
}
