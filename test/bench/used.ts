import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { takeStock } from '../../src/programs/tidy.ts';
import { House } from '../support/house.ts';
import { must } from '../support/process.ts';
import { generatedRepository, small } from './generate.ts';
import { measure, type Sample, spread } from './measure.ts';

type Print = (line?: string) => void;

/** One that was pushed to a thousand times, and one that has got the same by a single push. */
const names = ['used', 'fresh'] as const;
type Name = (typeof names)[number];

interface Scene {
  readonly house: House;
  /** The bare repository that everything is pushed from. */
  readonly source: string;
  readonly folder: string;
  url(name: Name): string;
  git(words: readonly string[], cwd?: string): Promise<string>;
}

interface Task {
  readonly title: string;
  /** The ratio that is aimed at. */
  readonly aim: number;
  before?(name: Name, round: number): Promise<void>;
  run(name: Name, round: number): Promise<unknown>;
}

/** Every so many pushes one is forced, and a branch is deleted. */
const forcedEvery = 10;
const deletedEvery = 25;
const files = 50;

/** A repository after many pushes, as its server keeps it by itself, against a fresh one with the same refs. */
export async function used(print: Print, pushes: number, rounds: number): Promise<void> {
  const closing: (() => unknown)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'cpm-used-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    const scene = await openScene({ teardown: (close) => closing.push(close) }, folder);
    print(`pushing ${pushes} times`);
    const begin = performance.now();
    await pushAlong(scene, pushes);
    print(`${((performance.now() - begin) / pushes).toFixed(1)} ms for each, with the client`);
    await scene.house.operator('init fresh');
    await scene.git(['push', '-q', scene.url('fresh'), 'refs/heads/*:refs/heads/*']);
    await tidied(scene);
    const directory = join(scene.house.dataDir, 'repositories/ada/used.git');
    const { looseObjects, packs, looseRefs } = await takeStock(directory);
    print(`as it is then: ${looseObjects} loose objects, ${packs} packs, ${looseRefs} loose refs`);
    print(`\n${'median ms, cpu ms:'.padEnd(34)}     used    fresh    ratio    aim`);
    for (const task of tasks(scene)) show(print, task, await pairs(scene, task, rounds));
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function openScene(
  closing: { teardown(close: () => unknown): void },
  folder: string,
): Promise<Scene> {
  const house = await House.open(closing);
  const { admin } = house;
  const source = join(folder, 'source.git');
  const origin = await generatedRepository(small);
  await admin.git(['clone', '-q', '--bare', '--local', origin, source]);
  await admin.git(['clone', '-q', '--bare', '--local', origin, join(folder, 'behind.git')]);
  const git = async (words: readonly string[], cwd = source) =>
    (await must('git', words, { cwd, env: admin.gitEnv() })).stdout.trim();
  await house.operator('init used');
  const url = (name: Name) => admin.url(name);
  await git(['push', '-q', url('used'), 'refs/heads/*:refs/heads/*']);
  return { house, source, folder, url, git };
}

/** Commits of one file each, pushed one by one; now and then a branch is forced, another comes and goes. */
async function pushAlong({ git, url }: Scene, pushes: number): Promise<void> {
  await git(['read-tree', 'main']);
  const push = (...specs: string[]) => git(['push', '-q', url('used'), ...specs]);
  for (let n = 1; n <= pushes; n += 1) {
    const made = await commit(git, n);
    if (n % forcedEvery === 0) {
      await push(`+${made}:refs/heads/wild`);
      await git(['update-ref', 'refs/heads/wild', made]);
      continue;
    }
    await git(['update-ref', 'refs/heads/main', made]);
    const gone = Math.floor(n / deletedEvery);
    if (n % deletedEvery === 1) await push('main', `main:refs/heads/passing-${gone}`);
    else if (n % deletedEvery === 2) await push('main', `:refs/heads/passing-${gone}`);
    else await push('main');
  }
}

async function commit(git: Scene['git'], n: number): Promise<string> {
  const { stdout } = await must('git', ['hash-object', '-w', '--stdin'], {
    cwd: await git(['rev-parse', '--absolute-git-dir']),
    stdin: `${n}\n`.repeat(40),
  });
  const entry = `100644,${stdout.trim()},used/${n % files}.txt`;
  await git(['update-index', '--add', '--cacheinfo', entry]);
  return git(['commit-tree', '-p', 'main', '-m', `push ${n}`, await git(['write-tree'])]);
}

/** A server looks every ten seconds for what was left alone for five. */
const restMs = 20_000;

/** Waits until the server has packed what was pushed, as far as it does by itself: nothing of it is to run beside. */
async function tidied({ house }: Scene): Promise<void> {
  let since = performance.now();
  while (performance.now() - since < restMs) {
    const { stdout } = await house.operator('status --json');
    if (JSON.parse(stdout).maintenance.running !== null) since = performance.now();
    await delay(1000);
  }
}

function tasks({ git, url, folder }: Scene): Task[] {
  const copy = join(folder, 'copy.git');
  const oids = new Map<number, string>();
  const fresh = async () => rmSync(copy, { recursive: true, force: true });
  return [
    { title: 'ls-remote', aim: 1.1, run: (name) => git(['ls-remote', '-q', url(name)]) },
    {
      title: 'fetch of all that was pushed',
      aim: 1.6,
      before: async () => {
        await fresh();
        cpSync(join(folder, 'behind.git'), copy, { recursive: true });
      },
      run: (name) => git(['fetch', '-q', url(name), '+refs/heads/*:refs/new/*'], copy),
    },
    {
      title: 'clone',
      aim: 1.1,
      before: fresh,
      run: (name) => git(['clone', '-q', '--bare', url(name), copy]),
    },
    {
      title: 'push of one commit',
      aim: 1.1,
      before: async (_, round) => {
        const parent = oids.get(round - 1) ?? 'main';
        if (oids.has(round)) return;
        oids.set(round, await git(['commit-tree', '-p', parent, '-m', `${round}`, 'main^{tree}']));
      },
      run: (name, round) => git(['push', '-q', url(name), `${oids.get(round)}:refs/heads/bench`]),
    },
  ];
}

type Pair = Readonly<Record<Name, Sample>>;

/** Both in turns, who goes first changes from round to round; round 0 warms up and is thrown away. */
async function pairs({ house }: Scene, task: Task, rounds: number): Promise<Pair[]> {
  const taken: Pair[] = [];
  for (let round = 0; round <= rounds; round += 1) {
    const samples: Partial<Record<Name, Sample>> = {};
    for (const name of round % 2 === 0 ? names : [...names].reverse()) {
      await task.before?.(name, round);
      samples[name] = await measure(house.pid, 'node', async () => {
        await task.run(name, round);
      });
    }
    if (round > 0) taken.push(samples as Pair);
  }
  return taken;
}

function show(print: Print, { title, aim }: Task, taken: readonly Pair[]): void {
  for (const kind of ['wallMs', 'cpuMs'] as const) {
    const [before, after] = names.map(
      (name) => spread(taken.map((pair) => pair[name][kind])).median,
    );
    const ratio = spread(taken.map(({ used, fresh }) => used[kind] / fresh[kind])).median;
    const figures = [before ?? 0, after ?? 0].map((ms) => ms.toFixed(1).padStart(9)).join('');
    const what = kind === 'wallMs' ? title : '  processor time';
    print(
      `${what.padEnd(34)}${figures}${ratio.toFixed(2).padStart(9)}${aim.toFixed(1).padStart(7)}`,
    );
  }
}
