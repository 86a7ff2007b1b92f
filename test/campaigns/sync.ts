import { readFile, watch } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { listProcesses } from '../../src/programs/processes.ts';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import type { Person } from '../support/person.ts';
import { type Answer, must } from '../support/process.ts';
import { type Dice, dice } from './dice.ts';
import { bare, faults, quiet, reachable } from './inspect.ts';

const app = 'acme/app';
const branches = ['main', 'one', 'two', 'three'] as const;

/** Where a run is that a server dies in, as the disks show it. */
const phases = ['snapshot', 'transfer', 'index-pack', 'admit', 'update-ref', 'record'] as const;
type Phase = (typeof phases)[number];

/** A server with somebody who writes there. */
interface Side {
  /** What the other calls it. */
  readonly name: string;
  readonly house: House;
  readonly writer: Person;
  readonly work: string;
  /** Commits that this server said it has. */
  readonly acknowledged: Set<string>;
}

interface Scene {
  readonly t: Test;
  readonly dice: Dice;
  readonly sides: readonly [Side, Side];
  /** How often each phase was died in. */
  readonly deaths: Map<string, number>;
  readonly results: Map<string, number>;
  commits: number;
}

const count = (counts: Map<string, number>, what: string) =>
  counts.set(what, (counts.get(what) ?? 0) + 1);

async function openScene(t: Test): Promise<Scene> {
  const { hq, b } = await openPair(t, { here: 'dev', there: 'dev' });
  const sideOf = async (name: string, house: House): Promise<Side> => {
    await house.admin.ssh('org create acme');
    await house.admin.ssh(`init ${app}`);
    await house.admin.ssh(`servers link ${name === 'hq' ? 'b' : 'hq'} ${app}`);
    const work = await house.admin.worktree();
    return { name, house, writer: house.admin, work, acknowledged: new Set() };
  };
  const sides = [await sideOf('hq', hq), await sideOf('b', b)] as const;
  const [first, second] = sides;
  // Both begin with one commit.
  const words = ['fetch', '-q', first.work, 'main'];
  await must('git', words, { cwd: second.work, env: second.writer.gitEnv() });
  const scene = { t, dice: dice(), sides, deaths: new Map(), results: new Map(), commits: 0 };
  await must('git', ['reset', '-q', '--hard', 'FETCH_HEAD'], { cwd: second.work });
  await must('git', ['push', '-q', first.writer.url(app), 'main'], {
    cwd: first.work,
    env: first.writer.gitEnv(),
  });
  return scene;
}

/** A push to a branch: on top of what it is, past it, or its end. What the server says that it has is noted. */
async function write({ dice, ...scene }: Scene, side: Side): Promise<void> {
  const { writer, work, acknowledged } = side;
  const branch = dice.pick(branches);
  const url = writer.url(app);
  const git = (...words: string[]) => writer.git(words, { cwd: work });
  if (branch !== 'main' && dice.below(8) === 0) {
    await git('push', '-q', url, `:${branch}`);
    return;
  }
  const onTop = dice.below(4) > 0;
  if (onTop && (await git('fetch', '-q', url, branch)).status === 0) {
    await git('reset', '-q', '--hard', 'FETCH_HEAD');
  }
  await git('commit', '-q', '--allow-empty', '-m', `${side.name} ${dice.below(1e9)}`);
  const oid = (await git('rev-parse', 'HEAD')).stdout.trim();
  scene.commits += 1;
  const pushed = await git('push', '-q', url, `+${oid}:refs/heads/${branch}`);
  if (pushed.status === 0) acknowledged.add(oid);
}

/** Waits until something happens to an entry that is meant. @returns its name; undefined when `over` came first */
async function happens(
  folder: string,
  isMeant: (name: string) => boolean,
  over: AbortSignal,
): Promise<string | undefined> {
  try {
    // What comes and goes at once is seen too.
    for await (const { filename } of watch(folder, { signal: over })) {
      if (filename !== null && isMeant(filename)) return filename;
    }
  } catch {
    // The run is over, or the folder is gone with what was in it.
  }
  return undefined;
}

const isPack = (name: string) => name.startsWith('pack-') || name.startsWith('.pack-');

/** @returns whether the run came to that phase before it was over */
async function reaches(
  phase: Phase,
  { sender, receiver }: { sender: Side; receiver: Side },
  over: AbortSignal,
): Promise<boolean> {
  const incoming = (side: Side) => join(side.house.dataDir, 'incoming');
  const directory = bare(receiver.house.dataDir, app);
  const seen = async (folder: string, isMeant: (name: string) => boolean) =>
    (await happens(folder, isMeant, over)) !== undefined;
  if (phase === 'snapshot') return seen(incoming(sender), (name) => name.startsWith('sync-out-'));
  if (phase === 'transfer') {
    const into = (name: string) => name.startsWith('sync-in-');
    const session = await happens(incoming(receiver), into, over);
    return session !== undefined && seen(join(incoming(receiver), session), () => true);
  }
  if (phase === 'index-pack')
    return seen(incoming(receiver), (name) => name.startsWith('sync-objects-'));
  const admitted = await seen(join(directory, 'objects', 'pack'), isPack);
  if (phase === 'admit' || !admitted) return admitted;
  const heads = join(directory, 'refs', 'heads');
  return seen(heads, (name) => name.endsWith('.lock') === (phase === 'update-ref'));
}

/** Whatever git or rsync is at work for a server dies, and the server lives on. */
async function killChildren({ house }: Side): Promise<void> {
  const children = (await listProcesses()).filter(({ parent }) => parent === house.pid);
  for (const { pid } of children) {
    const [program] = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0');
    if (!/^(git|.*\/rsync)$/.test(program ?? '')) continue;
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
}

interface Round {
  readonly sender: Side;
  readonly receiver: Side;
  /** undefined: nobody dies. */
  readonly phase: Phase | undefined;
}

/** One run, while both sides write and one of them is packed anew; a server may die in it, or what works for it. */
async function round(scene: Scene, { sender, receiver, phase }: Round): Promise<void> {
  const { t, dice } = scene;
  await write(scene, sender);
  const transport = dice.pick(['rsync', 'tar'] as const);
  const isPush = dice.below(2) === 0;
  const [by, words] = isPush
    ? [sender, `push ${app} --to ${receiver.name}`]
    : [receiver, `pull ${app} --from ${sender.name}`];
  const over = new AbortController();
  const victim = dice.pick([sender, receiver]);
  const who = dice.below(3) === 0 ? 'children' : 'server';
  const dying = phase && reaches(phase, { sender, receiver }, over.signal);
  const running = by.writer.ssh(`${words} --transport ${transport} --json`).finally(() => {
    over.abort();
  });
  const noise = [
    write(scene, dice.pick([sender, receiver])),
    dice.below(3) === 0 && dice.pick([sender, receiver]).writer.ssh(`repo maintain ${app}`),
  ];
  if (phase !== undefined && (await dying)) {
    if (who === 'server') await victim.house.kill();
    else await killChildren(victim);
    count(scene.deaths, `${phase} of ${who}`);
    const done = await running;
    await Promise.all(noise);
    if (who === 'server') await victim.house.restart();
    if (done.status !== 0) note(t, scene, done, [5, 6, 255]);
    await checkHeld(t, scene, `${phase}, ${who} of ${victim.name} died`);
    return;
  }
  note(t, scene, await running, [0, 5]);
  await Promise.all(noise);
}

function note(t: Test, { results }: Scene, { status, stdout, stderr }: Answer, good: number[]) {
  const [row] = stdout === '' ? [] : JSON.parse(stdout);
  count(results, row?.result ?? `status ${status}`);
  if (!good.includes(status)) t.fail(`a run ended with ${status}: ${stderr}`);
}

/** What of a run that broke off waits for the next one. */
const carriedOn = /^incoming\/sync-in-.* is left$/;

/** Nothing acknowledged is lost, and nothing at work or half done is left. */
async function checkHeld(t: Test, { sides }: Scene, what: string): Promise<void> {
  for (const { name, house, acknowledged } of sides) {
    const there = await reachable(house.dataDir, app);
    const lost = [...acknowledged].filter((oid) => !there.has(oid));
    t.same(lost, [], `${what}: ${name} has every commit that it acknowledged`);
    t.same(await quiet(house.dataDir, carriedOn), [], `${what}: ${name} has nothing half done`);
  }
}

async function refsOf({ house }: Side): Promise<Map<string, string>> {
  const args = ['for-each-ref', '--format=%(refname) %(objectname)', 'refs/heads', 'refs/tags'];
  const { stdout } = await must('git', ['-C', bare(house.dataDir, app), ...args]);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return new Map(lines.map((line) => line.split(' ') as [string, string]));
}

/** The refs that the two have otherwise. */
async function differing([one, other]: Scene['sides']): Promise<string[]> {
  const [here, there] = [await refsOf(one), await refsOf(other)];
  const names = new Set([...here.keys(), ...there.keys()]);
  return [...names].filter((ref) => here.get(ref) !== there.get(ref)).sort();
}

const conflictsOf = async ({ writer }: Side): Promise<string[]> => {
  const { stdout } = await writer.ssh(`conflicts list ${app} --json`);
  return JSON.parse(stdout)
    .map(({ ref }: { ref: string }) => ref)
    .sort();
};

/** Each sends once what it has, with nobody writing. @param good - how a run may end */
async function settle(scene: Scene, good: number[]): Promise<void> {
  const [hq, b] = scene.sides;
  for (const [from, to] of [
    [hq, b],
    [b, hq],
  ] as const) {
    const words = `push ${app} --to ${to.name} --json`;
    note(scene.t, scene, await from.writer.ssh(words), good);
  }
}

/** Somebody decides each conflict, on one of the servers that list it. @returns the refs */
async function decideAll({ t, dice, sides }: Scene): Promise<string[]> {
  const [here, there] = [await conflictsOf(sides[0]), await conflictsOf(sides[1])];
  const refs = [...new Set([...here, ...there])].sort();
  for (const ref of refs) {
    const [side = sides[0], other = side] = [
      ...(here.includes(ref) ? [sides[0]] : []),
      ...(there.includes(ref) ? [sides[1]] : []),
    ];
    const keep = dice.pick(['local', 'remote'] as const);
    const { writer } = dice.pick([side, other]);
    const words = ['conflicts', 'resolve', app, ref, '--keep', keep];
    const { status, stderr } = await writer.ssh(words);
    if (status !== 0) t.fail(`${words.join(' ')}: ${stderr}`);
  }
  return refs;
}

/** Nobody writes any more: what differs is a conflict on both sides, and once those are decided all is equal. */
async function checkEnd(scene: Scene): Promise<void> {
  const { t, sides } = scene;
  await settle(scene, [0, 5]);
  const apart = await differing(sides);
  t.same(await decideAll(scene), apart, 'every conflict is listed, and nothing else');
  await settle(scene, [0]);
  await settle(scene, [0]);
  t.same(await differing(sides), [], 'both are equal');
  for (const side of sides) {
    t.same(await conflictsOf(side), [], `${side.name} has no conflict`);
    t.same(await quiet(side.house.dataDir), [], `${side.name} has nothing left over`);
    t.same(await faults(side.house.dataDir), [], `${side.name} has no fault`);
    t.match(await side.writer.ssh('audit verify'), { status: 0 });
  }
  await checkHeld(t, scene, 'at the end');
}

/**
 * Two servers that both are written to are kept equal by so many runs, of which so many are cut off by the death of one
 * of the two.
 */
export async function syncs(t: Test, { runs, kills }: { runs: number; kills: number }) {
  const scene = await openScene(t);
  t.comment(`CPM_SEED=${scene.dice.seed}`);
  const every = Math.max(1, Math.floor(runs / kills));
  for (let run = 0; run < runs; run += 1) {
    const [sender, receiver] = scene.dice.below(2) === 0 ? scene.sides : scene.sides.toReversed();
    const phase = run % every === 0 ? phases[(run / every) % phases.length] : undefined;
    if (scene.dice.below(4) === 0) await decideAll(scene);
    await round(scene, { sender: sender as Side, receiver: receiver as Side, phase });
    if (run % 100 === 99) t.comment(`${run + 1} runs`);
  }
  await checkEnd(scene);
  const told = (counts: Map<string, number>) =>
    [...counts].map((each) => each.join(': ')).join(', ');
  t.comment(`died in ${told(scene.deaths)}; results ${told(scene.results)}`);
  t.ok(scene.deaths.size > 0, 'some died');
}
