/** What sshd tells the program that it starts; all else of the environment is the client's to choose and not read. */
const passed = ['SSH_ORIGINAL_COMMAND', 'SSH_CONNECTION', 'GIT_PROTOCOL'] as const;

/** The words of a forced command, and what sshd told besides. */
export interface Asked {
  readonly words: readonly string[];
  /** What the client asked for, as it came; undefined for a login. */
  readonly command: Buffer | undefined;
  /** `CLIENT-ADDRESS PORT SERVER-ADDRESS PORT` */
  readonly connection: string | undefined;
  readonly gitProtocol: string | undefined;
}

/**
 * The payload of a `forced` frame: the variables as NAME=VALUE, an empty text, the words; each with a zero byte behind it.
 *
 * @param environ - as /proc/self/environ has it
 */
export function encodeAsked(environ: Buffer, words: readonly string[]): Buffer {
  const told = split(environ).filter((entry) => passed.includes(nameOf(entry)));
  const texts = [...told, Buffer.alloc(0), ...words.map((word) => Buffer.from(word))];
  return Buffer.concat(texts.flatMap((text) => [text, Buffer.alloc(1)]));
}

export function decodeAsked(payload: Buffer): Asked {
  const texts = split(payload);
  const middle = texts.findIndex((text) => text.length === 0);
  const told = new Map(
    texts
      .slice(0, Math.max(middle, 0))
      .map((entry) => [nameOf(entry), entry.subarray(nameOf(entry).length + 1)]),
  );
  return {
    words: texts.slice(middle + 1).map(String),
    command: told.get('SSH_ORIGINAL_COMMAND'),
    connection: told.get('SSH_CONNECTION')?.toString(),
    gitProtocol: told.get('GIT_PROTOCOL')?.toString('latin1'),
  };
}

type Passed = (typeof passed)[number];

function nameOf(entry: Buffer): Passed {
  return entry.toString('latin1').replace(/=.*$/s, '') as Passed;
}

function split(bytes: Buffer): Buffer[] {
  const texts: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(0, at);
    const stop = end < 0 ? bytes.length : end;
    texts.push(bytes.subarray(at, stop));
    at = stop + 1;
  }
  return texts;
}
