import { type Cast, roles } from './cast.ts';
import { type Answer, type GitDeed, looseKey, type Stage } from './stage.ts';
import { type Row, rows, type Who } from './table.ts';

/** A row that came out otherwise than the table has it. */
export interface Surprise extends Row {
  readonly found: string;
  readonly said: string;
}

/** What puts back what a command changed, by the words that changed it; `$1`, `$2` are its groups. */
const undoings: readonly [RegExp, string][] = [
  [/^repo access grant (\S+) tmp read$/, 'repo access revoke $1 tmp'],
  [/^repo access (?:grant|revoke) (\S+) red.*$/, 'repo access grant $1 red read'],
  [/^repo access (?:grant|revoke) (\S+) cap.*$/, 'repo access grant $1 cap admin'],
  [/^repo delete (\S+) --yes$/, 'repo restore $1'],
  [/^repo restore (\S+)$/, 'repo delete $1 --yes'],
  [/^org member add acme tmp.*$/, 'org member remove acme tmp'],
  [/^user disable (\S+)$/, 'user enable $1'],
  [/^user offboard (\S+) --yes$/, 'user enable $1'],
  [/^user rename (\S+) (\S+)$/, 'user rename $2 $1'],
  [/^org rename (\S+) (\S+)$/, 'org rename $2 $1'],
  [/^repo rename (\w+)\/(\w+) ([\w-]+)$/, 'repo rename $1/$3 $2'],
  [/^repo rename (\S+) (\w+\/[\w-]+)$/, 'repo rename $2 $1'],
  [/^repo archive (acme\/private)$/, 'repo unarchive $1'],
];

/** Asks the table's questions in its order. @returns the rows that came out otherwise, at most `limit` of them */
export async function play(
  stage: Stage,
  cast: Cast,
  { which = rows, limit = Number.POSITIVE_INFINITY }: { which?: readonly Row[]; limit?: number },
): Promise<readonly Surprise[]> {
  const surprises: Surprise[] = [];
  for (const [number, row] of which.entries()) {
    const words = fill(row, cast, number);
    const answer = await carryOut(stage, row.who, words);
    const found = judge(row.words, words, answer);
    if (found !== row.answer)
      surprises.push({ ...row, found, said: answer.stdout + answer.stderr });
    if (surprises.length >= limit) break;
    if (answer.status === 0) await putBack(stage, words);
  }
  return surprises;
}

function fill({ who, words }: Row, cast: Cast, number: number): readonly string[] {
  const none = `SHA256:${'A'.repeat(43)}`;
  const meanings: Readonly<Record<string, string>> = {
    new: `new-${who}-${number}`,
    self: who,
    spare: cast.spare.get(who) ?? none,
    key: cast.key,
    victim: `vic-${who}`,
  };
  if (words === '{nothing}') return [];
  const filled = words.replace(/\{(\w+)\}/g, (_, name: string) => meanings[name] ?? '');
  const shows = /^(show|list) /.test(words);
  return [...filled.split(' '), ...(shows ? ['--json'] : [])];
}

async function carryOut(stage: Stage, who: Who, words: readonly string[]): Promise<Answer> {
  const [first, deed = '', repo = '', branch] = words;
  if (first === 'git') return stage.git(who, deed as GitDeed, repo, branch);
  return stage.ask(who, words, words.includes('-') ? looseKey().line : undefined);
}

function judge(typed: string, words: readonly string[], { status, stdout }: Answer): string {
  if (status !== 0) return String(status);
  if (typed.startsWith('show ')) return JSON.parse(stdout).right[0];
  if (!typed.startsWith('list ')) return String(status);
  const listed = JSON.parse(stdout).find(({ name }: { name: string }) => name === words[1]);
  return listed === undefined ? '-' : listed.right[0];
}

async function putBack(stage: Stage, words: readonly string[]): Promise<void> {
  const typed = words.join(' ');
  const member = /^org member (?:role|remove|add) acme (\S+)/.exec(typed)?.[1] ?? '';
  if (roles[member] !== undefined) return rejoin(stage, member);
  for (const [pattern, undoing] of undoings) {
    if (pattern.test(typed)) await stage.root(typed.replace(pattern, undoing).split(' '));
  }
}

async function rejoin(stage: Stage, member: string): Promise<void> {
  await stage.root(['org', 'member', 'remove', 'acme', member]);
  await stage.root(['org', 'member', 'add', 'acme', member, '--role', roles[member] ?? '']);
}
