import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { House } from '../support/house.ts';
import { Person } from '../support/person.ts';
import { must } from '../support/process.ts';
import { type Injection, inject } from '../support/strace.ts';
import { FirstStart } from './first-start.ts';
import { faults, quiet, remains } from './inspect.ts';

/** One command, and how its doing shows afterwards. */
interface Deed {
  readonly words: readonly string[];
  readonly shows: readonly string[];
  /** What has to be done before it; the commit that the last of them answers with is `COMMIT` in its words. */
  readonly first?: readonly (readonly string[])[];
}

/** A merge that was taken back: its commit is in the archive alone. */
const takenBack = (n: number) => [
  ['merge', 'ada/merging', 'topic', '--into', `target-${n}`],
  ['repo', 'undo', 'ada/merging', `target-${n}`, '--yes'],
];

/** Commands that write rows, files, or both. @param n - makes their names new */
function deeds(n: number): readonly Deed[] {
  return [
    { words: ['user', 'add', `user-${n}`], shows: ['user', 'show', `user-${n}`] },
    { words: ['org', 'create', `org-${n}`], shows: ['org', 'show', `org-${n}`] },
    { words: ['init', `ada/repo-${n}`], shows: ['show', `ada/repo-${n}`] },
    {
      words: ['init', `ada/trunk-${n}`, '--default-branch', 'trunk'],
      shows: ['show', `ada/trunk-${n}`],
    },
    {
      words: ['repo', 'set', 'ada/empty', '--default-branch', `branch-${n}`],
      shows: ['show', 'ada/empty'],
    },
    {
      first: [['init', `ada/old-${n}`]],
      words: ['repo', 'delete', `ada/old-${n}`, '--yes'],
      shows: ['repo', 'trash', 'list', `ada/old-${n}`],
    },
    {
      first: [
        ['init', `ada/back-${n}`],
        ['repo', 'delete', `ada/back-${n}`, '--yes'],
      ],
      words: ['repo', 'restore', `ada/back-${n}`],
      shows: ['show', `ada/back-${n}`],
    },
    {
      first: [['init', `ada/was-${n}`]],
      words: ['repo', 'rename', `ada/was-${n}`, `is-${n}`],
      shows: ['show', `ada/is-${n}`],
    },
    {
      first: [
        ['org', 'create', `was-${n}`],
        ['init', `was-${n}/app`],
      ],
      words: ['org', 'rename', `was-${n}`, `is-${n}`],
      shows: ['show', `is-${n}/app`],
    },
    {
      words: ['merge', 'ada/merging', 'topic', '--into', `target-${n}`],
      shows: ['merge', 'ada/merging', 'topic', '--into', `target-${n}`, '--mode', 'ff-only'],
    },
    {
      first: takenBack(n).slice(0, 1),
      words: ['repo', 'undo', 'ada/merging', `target-${n}`, '--yes'],
      shows: ['repo', 'history', 'ada/merging', `target-${n}`],
    },
    {
      first: takenBack(n),
      words: ['repo', 'history', 'ada/merging', '--purge', 'COMMIT', '--yes'],
      shows: ['repo', 'verify', 'ada/merging'],
    },
  ];
}

/** Maintenance that has something to let go, and something to prune. */
const upkeep = (n: number): readonly Deed[] => [
  {
    first: takenBack(n),
    words: ['repo', 'maintain', 'ada/merging'],
    shows: ['repo', 'verify', 'ada/merging'],
  },
];

/** A repository with a topic to merge into many branches, each of which has a commit of its own. */
async function pushTargets(ada: Person, count: number): Promise<void> {
  const cwd = await ada.worktree();
  for (const line of [
    'commit -q --allow-empty -m ours',
    'checkout -q -b topic HEAD^',
    'commit -q --allow-empty -m theirs',
  ])
    await must('git', line.split(' '), { cwd, env: ada.gitEnv() });
  const refs = Array.from({ length: count }, (_, n) => `main:refs/heads/target-${n}`);
  await must('git', ['push', '-q', ada.url('merging'), 'topic', ...refs], {
    cwd,
    env: ada.gitEnv(),
  });
}

/** Where a command is cut off: at a commit of the database, or at a sync of a file. */
const cuts: readonly Injection[] = [
  ...[1, 2, 3].map((nth) => ({ call: 'fsync', what: killAt(nth), threads: 'loop' as const })),
  ...[1, 2, 3].map((nth) => ({ call: 'fsync', what: killAt(nth), threads: 'others' as const })),
  { call: 'rename', what: killAt(1), threads: 'others' },
  { call: 'unlink', what: killAt(4), threads: 'others' },
  { call: 'mkdir', what: killAt(2), threads: 'others' },
];

function killAt(nth: number): string {
  return `signal=SIGKILL:when=${nth}`;
}

/** The server is killed within commands, at the chosen ones of all places. */
export async function inCommands(t: Test, every: number): Promise<void> {
  await killedIn(t, await House.open(t), { deeds, every, left: remains });
  // There the clock has something to do at each start, which is no remains.
  const house = await House.open(t, { config: 'archive:\n  keep: 1s\n' });
  await killedIn(t, house, { deeds: upkeep, every: Math.min(every, 4), left: quiet });
}

interface Plan {
  deeds(n: number): readonly Deed[];
  readonly every: number;
  /** What is left of what ran, right after the restart or once the server is at rest. */
  left(dataDir: string): Promise<string[]>;
}

async function killedIn(t: Test, house: House, { deeds, every, left }: Plan): Promise<void> {
  const ada = house.admin;
  await ada.ssh(['init', 'ada/empty']);
  const places = cuts.flatMap((cut) => deeds(0).map((_, which) => ({ cut, which })));
  await pushTargets(ada, places.length);
  for (const [n, { cut, which }] of places.entries()) {
    if (n % every !== 0) continue;
    const deed = deeds(n)[which];
    if (deed === undefined) throw new Error('there is no such deed');
    const name = `${deed.words.join(' ')}, killed at ${cut.call} of the ${cut.threads}, ${cut.what}`;
    let commit = '';
    for (const first of deed.first ?? []) {
      const { stdout } = await ada.ssh([...first, '--json']);
      commit = /"commit":"(\w+)"/.exec(stdout)?.[1] ?? commit;
    }
    const words = deed.words.map((word) => (word === 'COMMIT' ? commit : word));
    const deadly = await inject(house.pid, cut);
    const { status } = await ada.ssh(words);
    // A place that this command does not come to: then it dies right behind it.
    await house.kill().catch(() => undefined);
    await deadly.ended;

    await house.restart();

    t.same(await left(house.dataDir), [], `${name}: nothing is left of what ran`);
    t.same(await faults(house.dataDir), [], `${name}: no fault`);
    if (status === 0) t.equal((await ada.ssh(deed.shows)).status, 0, `${name}: it is done`);
    t.match(await ada.ssh('audit verify --json'), { status: 0, stdout: /"ok":true/ });
    const again = await ada.ssh(words);
    // A second deletion, as a second restoring, finds nothing more to do it to; by an old name nothing is renamed.
    t.ok(
      (deed.first === undefined ? [0, 5] : [0, 3, 4]).includes(again.status),
      `${name}: it can be done again ${again.stderr}`,
    );
    t.equal((await ada.ssh(deed.shows)).status, 0, `${name}: and is done then`);
  }
}

/** A server that is killed in its first start; the next start makes the house as if there had been none. */
export async function inFirstStarts(t: Test, every: number): Promise<void> {
  const admin = await Person.create('ada', t.testdir(), { port: () => 0 });
  let tried = 0;
  let killed = 0;
  for (const call of ['fsync', 'rename', 'mkdir', 'unlink']) {
    for (let nth = 1; ; nth += every) {
      const house = new FirstStart(t, admin);
      const survived = await house.start(['strace', ...deadly(call, nth)]);
      tried += 1;
      if (survived) {
        await house.stop();
        break;
      }
      killed += 1;

      const begun = await house.start([]);

      t.ok(begun, `killed at ${call} ${nth}: it starts${begun ? '' : `: ${house.said}`}`);
      if (!begun) continue;
      const greeted = await house.greet();
      t.equal(greeted.status, 0, `killed at ${call} ${nth}: the admin gets in ${greeted.stderr}`);
      const entries = readdirSync(join(house.dataDir, 'repositories'));
      t.same(entries, [], 'nothing is half there');
      await house.stop();
    }
  }
  t.comment(`${killed} of ${tried} first starts killed`);
}

function deadly(call: string, nth: number): string[] {
  const inject = `inject=${call}:${killAt(nth)}`;
  return ['-f', '--quiet=all', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject];
}
