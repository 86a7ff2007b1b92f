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

/** When the two are compared: once the last push is done, and once the server has packed all that was left. */
const moments = ['straight', 'rested'] as const;
type Moment = (typeof moments)[number];

interface Scene {
  readonly house: House;
  /** The bare repository that everything is pushed from. */
  readonly source: string;
  readonly folder: string;
  url(name: Name, moment: Moment): string;
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
/** Numbers of the pushes that come later: no content comes twice. */
const firstOfRest = 1_000_001;

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
    for (const moment of moments) {
      if (moment === 'rested') await rest(scene, print);
      await compare(scene, moment, { print, rounds });
    }
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function compare(
  scene: Scene,
  moment: Moment,
  { print, rounds }: { print: Print; rounds: number },
): Promise<void> {
  const { git, house, url } = scene;
  const all = 'refs/heads/*:refs/heads/*';
  await git(['fetch', '-q', url('used', moment), `+${all}`]);
  await house.operator(`init ${repository('fresh', moment)}`);
  await git(['push', '-q', url('fresh', moment), all]);
  const { looseObjects, packs, looseRefs } = await takeStock(usedDirectory(scene));
  const since = moment === 'straight' ? 'straight after the last of them' : 'packed by the server';
  print(`\n${since}: ${looseObjects} loose objects, ${packs} packs, ${looseRefs} loose refs`);
  print(`${'median ms, mean cpu ms:'.padEnd(34)}     used    fresh    ratio    aim`);
  for (const task of tasks(scene, moment)) show(print, task, await pairs(scene, task, rounds));
}

/** A repository's name: each moment has a fresh one of its own. */
function repository(name: Name, moment: Moment): string {
  return name === 'used' ? 'used' : `fresh-${moment}`;
}

function usedDirectory({ house }: Scene): string {
  return join(house.dataDir, 'repositories/ada/used.git');
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
  const url = (name: Name, moment: Moment) => admin.url(repository(name, moment));
  await git(['push', '-q', url('used', 'straight'), 'refs/heads/*:refs/heads/*']);
  return { house, source, folder, url, git };
}

/** Commits of one file each, pushed one by one; now and then a branch is forced, another comes and goes. */
async function pushAlong({ git, url }: Scene, pushes: number, from = 1): Promise<void> {
  await git(['read-tree', 'main']);
  const push = (...specs: string[]) => git(['push', '-q', url('used', 'straight'), ...specs]);
  for (let n = from; n < from + pushes; n += 1) {
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

/** So many changes a server packs, once a repository has rested for a minute. */
const worthPacking = 25;
const restMs = 180_000;

/** Waits until the server has packed the repository by itself. @throws after three minutes */
async function rest(scene: Scene, print: Print): Promise<void> {
  await pushAlong(scene, worthPacking, firstOfRest);
  print(`\nwaiting until the server has packed it`);
  const packed = async () => {
    const { looseObjects, looseRefs } = await takeStock(usedDirectory(scene));
    if (looseObjects + looseRefs > 0) return false;
    const { stdout } = await scene.house.operator('status --json');
    return JSON.parse(stdout).maintenance.running === null;
  };
  const begin = performance.now();
  while (!(await packed())) {
    if (performance.now() - begin > restMs) throw new Error('the server has not packed it');
    await delay(500);
  }
}

function tasks({ git, url: urlAt, folder }: Scene, moment: Moment): Task[] {
  const url = (name: Name) => urlAt(name, moment);
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
      run: (name, round) =>
        git(['push', '-q', url(name), `${oids.get(round)}:refs/heads/${moment}`]),
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
  const wall = names.map((name) => spread(taken.map((pair) => pair[name].wallMs)).median);
  const ratio = spread(taken.map(({ used, fresh }) => used.wallMs / fresh.wallMs)).median;
  print(figures(title, wall, ratio, aim));
  // The kernel counts it in steps that are too coarse for a single pair.
  const [used = 0, fresh = 0] = names.map((name) =>
    taken.reduce((sum, pair) => sum + pair[name].cpuMs / taken.length, 0),
  );
  print(figures('  processor time', [used, fresh], used / fresh, aim));
}

function figures(what: string, ms: readonly number[], ratio: number, aim: number): string {
  const both = ms.map((each) => each.toFixed(1).padStart(9)).join('');
  return `${what.padEnd(34)}${both}${ratio.toFixed(2).padStart(9)}${aim.toFixed(1).padStart(7)}`;
}
