import t, { type Test } from 'tap';
import { commands } from '../../src/commands/index.ts';
import { openCore } from '../../src/core/core.ts';
import { createRun } from '../../src/shell/run.ts';
import { House } from '../support/house.ts';
import { memoryFolder } from '../support/memory-folder.ts';
import { raise } from './cast.ts';
import { InProcess, makeProps } from './in-process.ts';
import { OpenSsh } from './openssh.ts';
import type { Answer, GitDeed, Stage } from './stage.ts';
import type { Who } from './table.ts';

/** Every way to name a repository, `R`; the first two words of a command are its name in the tree. */
const questions = [
  'git clone R',
  'git archive R',
  'show R',
  'show R --json',
  'list R',
  'list R --json',
  'init R',
  'init R --exist-ok',
  'init R --dry-run',
  'merge R main',
  'merge R main --dry-run --json',
  'repo set R',
  'repo set R --description x',
  'repo set R --visibility public --json',
  'repo set R --default-branch trunk',
  'repo set R --description x --dry-run',
  'repo access list R',
  'repo access list R --effective',
  'repo access grant R tmp read',
  'repo access grant R nemo read --json',
  'repo access grant R server:b read',
  'repo access revoke R red',
  'repo access revoke R nemo',
  'sshkey list --repo R',
  'sshkey add - --repo R --right read',
  'user can nemo read R',
  'user can nemo delete R main --json',
  'repo rules list R',
  'repo rules add R main --deny force --allow right:admin',
  'repo rules add R main --deny force --json',
  'repo rules remove R 1 --yes',
  'repo protect R',
  'user can nemo force R main',
  'audit list --repo R',
  'audit list --repo R --user cap --json',
  'repo rename R topic',
  'repo rename R st/topic --json',
  'repo archive R',
  'repo unarchive R --json',
  'repo alias add Old/Topic R',
  'repo alias list R',
  'repo delete R --yes',
  'repo delete R',
  'repo restore R',
  'repo verify R',
  'repo maintain R',
  'repo maintain R --json',
  'repo maintain R --prune-archive',
  'repo adopt R',
  'repo trash list R --json',
  'servers link b R',
  'servers unlink b R',
  'neighbors share b R',
  'neighbors sync b R',
  'neighbors sync b x/y --into R',
  'conflicts list R --json',
  'conflicts show R main',
  'conflicts resolve R main --keep local',
  'repo trash empty R --yes',
  'repo history R',
  'repo history R main --json',
  'repo history R --purge 4b825dc --yes',
  'repo history R --purge 4b825dc --dry-run --json',
  'repo undo R main --yes',
  'repo undo R main --to @1 --dry-run',
  'git push R',
];

/** What is there and hidden, what is not there, and who asks: of one length, so that nothing else differs. */
const pairs: readonly [Who, string, string][] = [
  ['st', 'un/private', 'un/missing'],
  ['st', 'acme/private', 'acme/missing'],
  ['ad', 'un/private', 'un/missing'],
  ['me', 'beta/app', 'beta/apq'],
  ['st', 'hush', 'rush'],
];

async function ask(stage: Stage, who: Who, question: string, repo: string): Promise<Answer> {
  const words = question.split(' ').map((word) => (word === 'R' ? repo : word));
  const [first, deed] = words;
  const answer =
    first === 'git'
      ? await stage.git(who, deed as GitDeed, repo, 'topic')
      : await stage.ask(who, words);
  const same = (text: string) => text.replaceAll(repo, 'R');
  return { status: answer.status, stdout: same(answer.stdout), stderr: same(answer.stderr) };
}

async function compare(t: Test, stage: Stage, which = pairs): Promise<void> {
  await stage.root(['init', 'hush']);
  let compared = 0;
  for (const [who, hidden, missing] of which) {
    for (const question of questions) {
      // In one's own namespace the name is free: that it means a hidden repository elsewhere must not show either.
      if (hidden === 'hush' && question.startsWith('init')) continue;
      const there = await ask(stage, who, question, hidden);
      const nowhere = await ask(stage, who, question, missing);
      t.strictSame(there, nowhere, `${who}: ${question.replace('R', hidden)}`);
      compared += 1;
    }
  }
  t.comment(`${compared} pairs compared`);
}

t.test(
  'test 12: what is hidden answers as what is missing, byte for byte, through the gate',
  async (t) => {
    const folder = memoryFolder(t);
    const stage = await InProcess.open(folder, await makeProps(folder), { openCore, createRun });
    t.teardown(() => stage.close());
    await raise(stage);

    await compare(t, stage);
  },
);

t.test(
  'test 12: what is hidden answers as what is missing, byte for byte, through OpenSSH',
  async (t) => {
    const house = await House.open(t, { admin: 'ada', shares: true });
    const stage = new OpenSsh(house);
    await raise(stage);

    await compare(t, stage, pairs.slice(0, 1));
  },
);

t.test('every command that takes a repository is asked about a hidden one', async (t) => {
  const takes = commands.filter(({ args }) =>
    Object.values(args).some((arg) => 'format' in arg && arg.format === 'repo'),
  );
  const unasked = takes.filter(({ words }) => !questions.some((each) => each.startsWith(words)));

  t.ok(takes.length > 5);
  t.strictSame(
    unasked.map(({ words }) => words),
    [],
  );
});
