import { EventEmitter, once } from 'node:events';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Test } from 'tap';
import { appears, entryIn, quarantineIn } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { type Pause, pauseAfter } from '../support/pause.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';
import { inject } from '../support/strace.ts';
import { bare, faults, reachable, remains, workers } from './inspect.ts';

/** Where the push is that the server dies in: what the client or the disk shows, or a commit of the database. */
type Phase = 'advertisement' | 'pack' | 'index' | 'refs' | 'report' | 'audit';

const phases: readonly Phase[] = ['advertisement', 'pack', 'index', 'refs', 'report', 'audit'];

const app = 'ada/app';
const noise = 'ada/noise';

/** What the server said that it has done. */
interface Acknowledged {
  readonly commits: Map<string, string[]>;
  readonly users: string[];
  readonly repositories: string[];
}

interface Scene {
  readonly t: Test;
  readonly house: House;
  readonly ada: Person;
  readonly work: string;
  readonly noisy: string;
  readonly acknowledged: Acknowledged;
  /** Pushes so far: names for what is new. */
  count: number;
}

async function openScene(t: Test): Promise<Scene> {
  const house = await House.open(t);
  const ada = house.admin;
  for (const name of [app, noise]) {
    const { status, stderr } = await ada.ssh(['init', name]);
    if (status !== 0) throw new Error(stderr);
  }
  const work = await ada.worktree('work');
  const noisy = await ada.worktree('noisy');
  const commits = new Map([app, noise].map((name) => [name, [] as string[]]));
  const acknowledged = { commits, users: [], repositories: [] };
  return { t, house, ada, work, noisy, acknowledged, count: 0 };
}

const git = async ({ ada }: Scene, cwd: string, ...words: string[]) =>
  (await must('git', words, { cwd, env: ada.gitEnv() })).stdout.trim();

/** A commit of so many files with bytes that nothing makes smaller. */
async function commit(scene: Scene, cwd: string, files: number): Promise<string> {
  scene.count += 1;
  for (let n = 0; n < files; n++) {
    writeFileSync(join(cwd, `file-${n}`), crypto.getRandomValues(Buffer.alloc(1024)));
  }
  await git(scene, cwd, 'add', '.');
  await git(scene, cwd, 'commit', '-q', '--allow-empty', '-m', `commit ${scene.count}`);
  return git(scene, cwd, 'rev-parse', 'HEAD');
}

interface Attempt {
  readonly cwd: string;
  readonly repository: string;
  readonly ref: string;
  readonly oid: string;
  readonly env?: Readonly<Record<string, string>> | undefined;
}

/** @returns whether the server said that it has it */
async function push(scene: Scene, { cwd, repository, ref, oid, env }: Attempt): Promise<boolean> {
  const { ada, acknowledged } = scene;
  const words = ['push', '-q', ada.url(repository), `+${oid}:${ref}`];
  const { status } = await ada.git(words, { cwd, ...(env && { env }) });
  if (status === 0) acknowledged.commits.get(repository)?.push(oid);
  return status === 0;
}

/**
 * Pushes and commands of others, each after the other, until the server is gone.
 *
 * @returns when the server has acknowledged the first of each, and when all is over
 */
function makeNoise(scene: Scene, dead: AbortSignal) {
  const { ada, noisy, acknowledged } = scene;
  const heard = new EventEmitter();
  const begun = Promise.all([once(heard, 'push'), once(heard, 'command')]);
  const done = async (words: readonly string[], list: string[], name: string) => {
    if ((await ada.ssh(words)).status !== 0) return;
    list.push(name);
    heard.emit('command');
  };
  const pushes = async () => {
    while (!dead.aborted) {
      const oid = await commit(scene, noisy, 1);
      const attempt = { cwd: noisy, repository: noise, ref: 'refs/heads/main', oid };
      if (await push(scene, attempt)) heard.emit('push');
    }
  };
  const commands = async () => {
    while (!dead.aborted) {
      scene.count += 1;
      const name = `new-${scene.count}`;
      await done(['user', 'add', name], acknowledged.users, name);
      await done(['init', `ada/${name}`], acknowledged.repositories, `ada/${name}`);
    }
  };
  return { begun, over: Promise.all([pushes(), commands()]) };
}

/** Ends the server when the push has come to a phase that the client or the disk shows. */
async function killSeen(scene: Scene, phase: Phase, pause: Pause, ref: string): Promise<void> {
  const objects = join(bare(scene.house.dataDir, app), 'objects');
  if (phase !== 'refs') await pause.reached;
  if (phase === 'pack' || phase === 'index') {
    await quarantineIn(bare(scene.house.dataDir, app));
    const [quarantine = ''] = readdirSync(objects).filter((name) => name.startsWith('tmp_objdir'));
    const packs = join(objects, quarantine, 'pack');
    await appears(packs);
    // One that is stopped does not end by itself when its server is gone.
    if (phase === 'pack') {
      for (const pid of await workers(scene.house.dataDir)) stop(pid);
    } else {
      // Past its index the quarantine may be gone before this process gets to look.
      const seen = entryIn(packs, (name) => name.startsWith('pack-')).catch((error) => {
        if (existsSync(packs)) throw error;
      });
      pause.resume();
      await seen;
    }
  } else if (phase === 'refs') {
    // Its lock file, or itself.
    const folder = join(bare(scene.house.dataDir, app), 'refs/heads');
    await entryIn(folder, (name) => name.startsWith(basename(ref)));
  }
  await scene.house.kill();
}

function stop(pid: number): void {
  try {
    process.kill(pid, 'SIGSTOP');
  } catch {
    // Somebody else's, and ended meanwhile.
  }
}

/** The bytes that git may send before it waits: none of its commands, or some of the pack. */
const pausedAfter = { advertisement: 1, pack: 60_000, index: 60_000 } as const;

/**
 * Commits of the database in a push: its record opened, journaled, in history, its record closed. What is written down
 * behind other requests may come between them.
 */
const commitOf = { report: 3, audit: 4 } as const;

/** @returns whether the push was done */
async function crashAt(scene: Scene, phase: Phase): Promise<boolean> {
  const { t, house, ada, work } = scene;
  const ref = `refs/heads/branch-${scene.count}`;
  const oid = await commit(scene, work, 150);
  const attempt = { cwd: work, repository: app, ref, oid };
  const dead = new AbortController();
  let taken: boolean;
  if (phase === 'report' || phase === 'audit') {
    const what = `signal=SIGKILL:when=${commitOf[phase]}`;
    const deadly = await inject(house.pid, { call: 'fsync', what, threads: 'loop' });
    taken = await push(scene, attempt);
    await deadly.ended;
    await house.kill().catch(() => undefined);
  } else {
    const paused = phase === 'refs' ? undefined : await pauseAfter(t, ada, pausedAfter[phase]);
    const noisy = makeNoise(scene, dead.signal);
    await noisy.begun;
    const pushed = push(scene, { ...attempt, env: paused?.env });
    const pause = paused ?? { env: {}, reached: Promise.resolve(), resume: () => undefined };
    await killSeen(scene, phase, pause, ref);
    dead.abort();
    taken = await pushed;
    await noisy.over;
  }

  await house.restart();

  const moved = await checkAfter(scene, phase, oid);
  t.comment(
    `${phase}: client ${taken ? 'was told' : 'was cut off'}, ref ${moved ? 'moved' : 'as before'}`,
  );
  if (phase === 'advertisement' || phase === 'pack') t.notOk(moved, `${phase}: nothing was done`);
  return moved;
}

/** @returns whether the commit is in the repository now */
async function checkAfter(scene: Scene, what: string, oid: string): Promise<boolean> {
  const { t, house, ada, acknowledged } = scene;
  t.same(await remains(house.dataDir), [], `${what}: nothing is left of what ran`);
  t.same(await faults(house.dataDir), [], `${what}: git and history find no fault`);
  const lost: string[] = [];
  for (const [name, commits] of acknowledged.commits) {
    const there = await reachable(house.dataDir, name);
    lost.push(...commits.filter((each) => !there.has(each)));
  }
  const { stdout: users } = await ada.ssh('user list --json');
  lost.push(...acknowledged.users.filter((name) => !users.includes(`"name":"${name}"`)));
  const { stdout: repositories } = await ada.ssh('list --json');
  lost.push(...acknowledged.repositories.filter((name) => !repositories.includes(`"${name}"`)));
  t.same(lost, [], `${what}: nothing acknowledged is lost`);
  t.match(await ada.ssh('audit verify --json'), { status: 0, stdout: /"ok":true/ });
  return (await reachable(house.dataDir, app)).has(oid);
}

/** The server is killed in each phase of a push, so many times, while others push and give commands. */
export async function inPushes(t: Test, kills: number): Promise<void> {
  const scene = await openScene(t);
  const late: boolean[] = [];
  for (let round = 0; round < kills; round++) {
    for (const phase of phases) {
      const isDone = await crashAt(scene, phase);
      if (phase === 'report' || phase === 'audit') late.push(isDone);
    }
  }
  t.ok(late.includes(true), 'some were done and not yet told');
  const { commits, users, repositories } = scene.acknowledged;
  const pushed = [...commits.values()].flat().length;
  const done = `${pushed} pushes, ${users.length} users, ${repositories.length} repositories`;
  t.comment(`acknowledged: ${done}`);
}
