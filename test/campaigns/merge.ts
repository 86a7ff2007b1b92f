import { existsSync, lstatSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Test } from 'tap';
import { type Joined, joinCommits, type MergeMode } from '../../src/core/merge/join.ts';
import { admitObjects } from '../../src/programs/admit.ts';
import { type Git, openGit } from '../../src/programs/git.ts';
import { closeScratch, gatherObjects, openScratch } from '../../src/programs/scratch.ts';
import { must, run } from '../support/process.ts';
import { type Dice, dice } from './dice.ts';

const who = { name: 'ana', email: 'ana@example.org' };
const env = {
  GIT_AUTHOR_NAME: 'bo',
  GIT_AUTHOR_EMAIL: 'bo@example.org',
  GIT_COMMITTER_NAME: 'bo',
  GIT_COMMITTER_EMAIL: 'bo@example.org',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_EDITOR: 'true',
};

/** A work tree and its history, and the same git that the server runs. */
class Bench {
  readonly path: string;
  readonly #dice: Dice;

  constructor(path: string, rolls: Dice) {
    this.path = path;
    this.#dice = rolls;
  }

  async git(...args: string[]): Promise<string> {
    return (await must('git', args, { cwd: this.path, env })).stdout.trim();
  }

  /** @returns whether git was through with it */
  async tries(...args: string[]): Promise<boolean> {
    return (await run('git', args, { cwd: this.path, env })).status === 0;
  }

  write(path: string, text: string): void {
    const file = join(this.path, path);
    // A file may be where a folder is to be, or the other way round.
    const [top = ''] = path.split('/');
    if (top !== path && lstatSync(join(this.path, top), { throwIfNoEntry: false })?.isFile())
      rmSync(join(this.path, top));
    mkdirSync(dirname(file), { recursive: true });
    rmSync(file, { force: true, recursive: true });
    writeFileSync(file, text);
  }

  /** One to three changes of any kind, and a commit of them. */
  async change(side: string): Promise<void> {
    for (let changes = 1 + this.#dice.below(3); changes > 0; changes -= 1) await this.#any(side);
    await this.git('add', '-A');
    const empty = this.#dice.below(10) === 0 ? ['--allow-empty'] : [];
    await this.tries('commit', '-q', ...empty, '-m', `${side} ${this.#dice.below(1000)}`);
  }

  async #any(side: string): Promise<void> {
    const file = this.#dice.pick(['a', 'b', 'c', 'dir/d', 'dir/e', 'dir/f', 'deep/er/g']);
    const other = this.#dice.pick(['a', 'b', 'dir/e', 'moved', 'dir', 'elsewhere/h']);
    const kind = this.#dice.below(20);
    if (kind < 9) this.write(file, this.#text(side));
    else if (kind < 11) this.#remove(file);
    else if (kind < 14) await this.tries('mv', '-f', file, other);
    else if (kind < 15) await this.tries('mv', 'dir', 'renamed');
    else if (kind < 16) this.write('bin', `\0${side}${this.#dice.below(3)}`);
    else if (kind < 17) this.write(other, this.#text(side));
    else if (kind < 18) await this.tries('update-index', '--chmod=+x', file);
    else await this.#gitlink();
  }

  /** Where a file has taken its folder's place there is nothing to remove. */
  #remove(path: string): void {
    const file = join(this.path, path);
    if (existsSync(file)) rmSync(file, { recursive: true });
  }

  async #gitlink(): Promise<void> {
    const oid = this.#dice.pick(['1', '2']).repeat(40);
    await this.tries('update-index', '--add', '--cacheinfo', `160000,${oid},module`);
  }

  /** Forty lines of which a few differ, here and there. */
  #text(side: string): string {
    const changed = [this.#dice.below(40), this.#dice.below(40)];
    const line = (at: number) => (changed.includes(at) ? `${side}${this.#dice.below(2)}` : `${at}`);
    return Array.from({ length: 40 }, (_, at) => `line ${line(at)}\n`).join('');
  }
}

/** A history with two sides, sometimes merged into each other on the way. */
async function generate(bench: Bench, rolls: Dice): Promise<void> {
  await bench.git('init', '-q', '-b', 'main');
  for (const file of ['a', 'b', 'c', 'dir/d', 'dir/e', 'dir/f', 'deep/er/g'])
    bench.write(file, `${file}\n${Array.from({ length: 40 }, (_, at) => `line ${at}\n`).join('')}`);
  await bench.git('add', '-A');
  await bench.git('commit', '-q', '-m', 'base');
  await bench.git('branch', 'topic');
  for (let steps = 2 + rolls.below(5); steps > 0; steps -= 1) {
    const [side, other] = rolls.below(2) === 0 ? ['main', 'topic'] : ['topic', 'main'];
    await bench.git('checkout', '-q', '-f', side);
    await bench.git('clean', '-qfdx');
    const kind = rolls.below(12);
    if (kind === 0 && !(await bench.tries('merge', '-q', '--no-edit', other)))
      await bench.git('reset', '-q', '--hard');
    if (kind === 1 && !(await bench.tries('cherry-pick', other)))
      await bench.git('reset', '-q', '--hard');
    if (kind > 1) await bench.change(side);
  }
}

/** What a work tree makes of it: the tree that main has then, and the log of a rebase; undefined for a conflict. */
async function inWorkTree(
  bench: Bench,
  mode: MergeMode,
): Promise<{ tree: string; log: string } | undefined> {
  const branch = mode === 'rebase' ? 'topic' : 'main';
  await bench.git('checkout', '-q', '-f', '-B', 'trial', branch);
  await bench.git('clean', '-qfdx');
  const words: Readonly<Record<MergeMode, readonly string[]>> = {
    merge: ['merge', '-q', '--no-edit', 'topic'],
    'ff-only': ['merge', '-q', '--ff-only', 'topic'],
    squash: ['merge', '-q', '--squash', 'topic'],
    rebase: ['rebase', '-q', 'main'],
  };
  const through = await bench.tries(...words[mode]);
  const made = through
    ? { tree: await bench.git('write-tree'), log: await logOf(bench, 'main', 'trial') }
    : undefined;
  if (!through && mode === 'rebase') await bench.git('rebase', '--abort');
  await bench.git('reset', '-q', '--hard');
  return made;
}

function logOf(bench: Bench, since: string, until: string): Promise<string> {
  return bench.git('log', '--format=%T %an %ae %at %s', `${since}..${until}`);
}

async function inBare(
  git: Git,
  bench: Bench,
  { mode, ours, theirs }: { mode: MergeMode; ours: string; theirs: string },
): Promise<Joined | undefined> {
  const { signal } = new AbortController();
  const directory = join(bench.path, '.git');
  const scratch = await openScratch(dirname(bench.path), { directory, signal });
  const source = { kind: 'branch', name: 'topic' } as const;
  const wanted = { ours, theirs, mode, source, target: 'main', who, at: new Date(0) };
  try {
    const joined = await joinCommits(git, scratch, wanted).catch((error) => {
      if (error?.code !== 'conflict') throw error;
      return undefined;
    });
    if (joined !== undefined && 'commit' in joined && ![ours, theirs].includes(joined.commit)) {
      const { commit } = joined;
      const made = await gatherObjects(git, scratch, { commit, known: [ours, theirs] });
      await admitObjects(made, directory);
    }
    return joined;
  } finally {
    await closeScratch(scratch);
  }
}

/** The server's merges against a work tree's: the same trees, conflicts at the same places, objects all there. */
export async function merges(t: Test, { histories }: { histories: number }): Promise<void> {
  const rolls = dice();
  t.comment(`CPM_SEED=${rolls.seed}`);
  const top = t.testdir({ home: {} });
  const git = await openGit({ houseId: 'merge-campaign', emptyHome: join(top, 'home') });
  const results = new Map<string, number>();
  const kinds = new Set<string>();
  for (let nth = 0; nth < histories; nth += 1) {
    const bench = new Bench(join(top, `${nth}`), rolls);
    mkdirSync(bench.path);
    await generate(bench, rolls);
    const [ours = '', theirs = ''] = (await bench.git('rev-parse', 'main', 'topic')).split('\n');
    const made: string[] = [];
    for (const mode of ['merge', 'ff-only', 'squash', 'rebase'] as const) {
      const wanted = await inWorkTree(bench, mode);
      const joined = await inBare(git, bench, { mode, ours, theirs });
      const commit = joined !== undefined && 'commit' in joined ? joined.commit : undefined;
      const tree = commit && (await bench.git('rev-parse', `${commit}^{tree}`));
      t.equal(tree, wanted?.tree, `history ${nth}, ${mode}: ${joined?.result ?? 'refused'}`);
      if (joined?.result === 'rebased' && commit !== undefined)
        t.equal(await logOf(bench, ours, commit), wanted?.log, `history ${nth}: its log`);
      const result = `${mode} ${joined?.result ?? 'refused'}`;
      results.set(result, (results.get(result) ?? 0) + 1);
      if (commit !== undefined) made.push(commit);
      if (joined?.result !== 'conflict') continue;
      for (const { kind } of joined.conflicts) kinds.add(kind);
      t.ok(joined.conflicts.length > 0, `history ${nth}, ${mode}: a conflict names its paths`);
    }
    for (const [at, commit] of made.entries()) await bench.git('branch', `made${at}`, commit);
    await bench.git('fsck', '--strict', '--no-dangling', '--connectivity-only');
    rmSync(bench.path, { recursive: true });
  }
  t.comment(`${JSON.stringify(Object.fromEntries(results))} ${[...kinds].join(', ')}`);
}
