import { wantedAt } from '../../src/commands/complete.ts';
import { commands, later, laterFlags } from '../../src/commands/index.ts';
import { type Fault, readConfigText } from '../../src/config-file.ts';
import { readFrames } from '../../src/doors/local/frames.ts';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { UserError } from '../../src/model/errors.ts';
import { matchesGlob } from '../../src/model/glob.ts';
import { flushPkt, pkt, readPkt } from '../../src/model/pktline.ts';
import { isWritableRef, refFault } from '../../src/model/ref.ts';
import { checkName, checkNamespace, escapeControls, parseRepoPath } from '../../src/model/repo.ts';
import { checkBlob, parsePublicKey, publicKeyLine } from '../../src/model/sshkey.ts';
import { verifySshSignature } from '../../src/model/sshsig.ts';
import { WireFault } from '../../src/model/sshwire.ts';
import { readDurationMs, readMoment, readSizeBytes } from '../../src/model/units.ts';
import { splitWords } from '../../src/model/words.ts';
import { isKey } from '../../src/settings.ts';
import { parse } from '../../src/shell/parse.ts';
import { commandReader } from '../../src/transfer/receive-pack/commands.ts';
import { quoteWords } from '../support/person.ts';
import type { Dice } from './dice.ts';

/** One case of one parser. @throws when the parser does anything but read the text or refuse it in words */
type Case = (dice: Dice) => Promise<void> | void;

const sample = generateEd25519('ana@laptop');
const oid = '1'.repeat(40);

const pieces = [
  ...['', ' ', '\t', '\n', '\r', '\0', '\x1b[2J', '\u202e', '\ud800', 'é', '列', '🙂', '\\'],
  ...["'", '"', '`', '$', '$(x)', ';', '|', '&', '<', '>', '*', '**', '?', '[', ']', '{', '}', '!'],
  ...['.', '..', '/', '//', '~', '@', '@{', ':', '#', '-', '--', '=', ',', '%', '^', '+'],
  ...['.git', '.lock', 'refs/heads/', 'acme', 'app', 'ana', 'org:', 'team:', 'SHA256:', 'HEAD'],
  ...['0', '1', '9999999999', '-1', '1e9', 'NaN', '30s', '2G', '2026-12-24', 'T10:00Z'],
  ...['--json', '--yes', '--config', '--data-dir=x', '-oProxyCommand=x', '--upload-pack=x'],
  ...['__proto__', 'constructor', 'toString', 'x'.repeat(64), 'a-'.repeat(40)],
] as const;

/** Text of pieces that have a meaning somewhere, now and then of any letters, now and then very long. */
function text(dice: Dice): string {
  const parts = Array.from({ length: dice.below(6) }, () =>
    dice.below(4) === 0 ? String.fromCharCode(dice.below(0x2100)) : dice.pick(pieces),
  );
  const whole = parts.join('');
  return dice.below(50) === 0 ? whole.repeat(dice.below(2000)) : whole;
}

/** Bytes with a few places changed, cut, doubled or overwritten. */
export function mangled(dice: Dice, whole: Buffer): Buffer {
  let bytes = Buffer.from(whole);
  for (let count = dice.below(4) + 1; count > 0 && bytes.length > 0; count--) {
    const at = dice.below(bytes.length);
    const how = dice.below(5);
    if (how === 0) bytes[at] = dice.below(256);
    if (how === 1) bytes = bytes.subarray(0, at);
    if (how === 2) bytes = Buffer.concat([bytes.subarray(0, at), bytes]);
    if (how === 3)
      bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + dice.below(9))]);
    if (how === 4) bytes.fill(dice.below(2) * 255, at, Math.min(at + dice.below(8), bytes.length));
  }
  return bytes;
}

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

/** What git forbids in a ref. */
function hasNoControls(ref: string): boolean {
  return [...ref].every((letter) => letter >= ' ' && letter !== '\x7f');
}

/** @returns undefined when it was refused in words that can be shown */
function reads<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof WireFault) return undefined;
    if (!(error instanceof UserError)) throw error;
    must(error.code === 'usage', `a parser refuses with ${error.code}`);
    const shown = `${error.message}${error.hint ?? ''}`.replaceAll('\n', '');
    must(escapeControls(shown) === shown, `a refusal shows what it was given as it is: ${shown}`);
    must(shown.length < 4000, 'a refusal is as long as what it refuses');
    return undefined;
  }
}

const tree = { commands, later, laterFlags };

/** Words that begin like a command's. */
function commandWords(dice: Dice): string[] {
  const { words, args, positions } = commands[dice.below(commands.length)] ?? { words: '' };
  const flags = Object.keys(args ?? {}).map((name) => `--${name}`);
  const values = [...(positions ?? []), ...flags].flatMap((word) =>
    dice.below(2) === 0 ? [word, text(dice)] : [text(dice)],
  );
  return [...(words ?? '').split(' '), ...values].filter(() => dice.below(8) > 0);
}

async function* chunks(bytes: Buffer, dice: Dice): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; ) {
    const length = dice.below(20) + 1;
    yield bytes.subarray(at, at + length);
    at += length;
  }
}

const config = `# what we changed
listen: [0.0.0.0:2222, "[::]:2222"]
limits: {idle: 10m, pack_size: 2G}
sync:
  interval: 30s # often
log_level: info
`;

/** Every parser that sees what others wrote, by what it reads. */
export const parsers: Readonly<Record<string, Case>> = {
  words: (dice) => {
    const line = text(dice) + text(dice);
    const words = reads(() => splitWords(line));
    if (words === undefined) return;
    const again = reads(() => splitWords(quoteWords(words)));
    must(again === undefined || again.join('\0') === words.join('\0'), `${line} reads otherwise`);
  },
  command: (dice) => {
    const words = commandWords(dice);
    const remote = dice.below(2) === 0;
    const parsed = reads(() => parse(words, tree, remote));
    const { config: file, dataDir } = parsed?.globals ?? {};
    must(!remote || (file ?? dataDir) === undefined, 'S8 a remote word names a file');
  },
  completion: (dice) => {
    for (const { word } of wantedAt(commandWords(dice), commands).offers) {
      must(escapeControls(word) === word, `${word} is offered`);
    }
  },
  name: (dice) => {
    const name = text(dice);
    for (const check of [checkName, checkNamespace]) {
      const read = reads(() => check(name, 'user'));
      must(read === undefined || /^[a-z0-9][a-z0-9._-]{0,62}$/.test(read), `${name} is a name`);
    }
    const path = reads(() => parseRepoPath(name));
    if (path === undefined) return;
    const whole = `${path.namespace ?? 'x'}/${path.name}`;
    must(!/\.\.|\.lock$|\.git$|^[-.]|\/[-.]/.test(whole), `${name} is a path`);
  },
  ref: (dice) => {
    const ref = `${dice.below(2) === 0 ? 'refs/heads/' : ''}${text(dice)}`;
    if (refFault(ref) !== undefined || !isWritableRef(ref)) return;
    must(
      hasNoControls(ref) && !/\.\.|@\{|[ ~^:?*[\\]|\/\/|\.lock(\/|$)|\/$|\.$/.test(ref),
      `${ref} is a ref`,
    );
  },
  pattern: (dice) => {
    const pattern = dice.below(2) === 0 ? text(dice) : 'a*'.repeat(dice.below(100));
    const begun = process.cpuUsage().user;
    matchesGlob(pattern.slice(0, 200), dice.below(2) === 0 ? text(dice) : 'a'.repeat(200));
    must(process.cpuUsage().user - begun < 200_000, `S17 ${pattern} takes long`);
  },
  units: (dice) => {
    const given = text(dice);
    const moment = reads(() => readMoment(given, new Date(0), 'ago'));
    must(moment === undefined || !Number.isNaN(Date.parse(moment)), `${given} is a moment`);
    for (const number of [readDurationMs(given), readSizeBytes(given)]) {
      must(
        number === undefined || (Number.isSafeInteger(number) && number >= 0),
        `${given} is ${number}`,
      );
    }
  },
  packets: (dice) => {
    const good = Buffer.concat([
      pkt(`${'0'.repeat(40)} ${oid} refs/heads/main\0 report-status push-options\n`),
      pkt(`${oid} ${'2'.repeat(40)} refs/tags/v1\n`),
      flushPkt,
      pkt(text(dice).slice(0, 1000)),
      flushPkt,
    ]);
    const bytes = mangled(dice, good);
    const reader = commandReader(3);
    let at = 0;
    reads(() => {
      for (let next = readPkt(bytes, at); next !== undefined; next = readPkt(bytes, at)) {
        must(next.next > at && next.next <= bytes.length, 'a packet ends where it does not');
        at = next.next;
        if (reader.add(next.pkt)) break;
      }
      for (const { ref, fault } of reader.list().commands) {
        must(fault !== undefined || isWritableRef(ref), `S12 ${ref} is let through`);
      }
    });
  },
  key: (dice) => {
    const blob = reads(() => checkBlob(mangled(dice, sample.publicKey.blob)));
    must(
      blob === undefined || parsePublicKey(publicKeyLine(blob)).blob.equals(blob.blob),
      'a key has two spellings',
    );
    const line = mangled(dice, Buffer.from(publicKeyLine(sample.publicKey, 'ana@laptop')));
    reads(() => parsePublicKey(dice.below(4) === 0 ? text(dice) : line.toString()));
  },
  signature: (dice) => {
    const body = mangled(dice, Buffer.from('SSHSIG\0\0\0\x01')).toString('base64');
    const armoured = `-----BEGIN SSH SIGNATURE-----\n${body}${text(dice)}\n-----END SSH SIGNATURE-----\n`;
    const asked = { blob: sample.publicKey.blob, namespace: 'cpm', message: 'nonce' };
    must(!verifySshSignature(armoured, asked), 'a made-up signature is taken');
  },
  config: async (dice) => {
    const changed = mangled(dice, Buffer.from(config)).toString();
    const faults: Fault[] = [];
    const found = await readConfigText(dice.below(4) === 0 ? text(dice) : changed, 'file', faults);
    for (const key of found.keys()) must(isKey(key), `${key} is read`);
    for (const { text: fault } of faults) must(fault.length > 0, 'a fault without words');
  },
  frames: async (dice) => {
    const good = Buffer.concat([
      Buffer.from([0, 0, 0, 0, 2]),
      Buffer.from('{}'),
      Buffer.from([1, 0, 0, 0, 1, 65]),
    ]);
    try {
      for await (const { kind } of readFrames(chunks(mangled(dice, good), dice)))
        must(kind !== undefined, 'no kind');
    } catch (error) {
      must(error instanceof Error && error.message === 'not a frame of cpm', String(error));
    }
  },
};
