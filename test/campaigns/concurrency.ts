import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import { appears } from '../support/appears.ts';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { cleanEnv, must } from '../support/process.ts';
import { inject } from '../support/strace.ts';
import { type Dice, dice } from './dice.ts';
import { bare, faults, quiet, reachable } from './inspect.ts';

export const repository = 'ada/app';
/** What one address may do at once is no subject here. */
const config = 'limits:\n  unauthenticated_per_address: 1000\n  unauthenticated: 1000\n';

/** Somebody with a branch of their own, in a work tree of their own. */
export interface Client {
  readonly person: Person;
  readonly work: string;
  readonly branch: string;
  /** The commits that the server said it has. */
  readonly acknowledged: string[];
}

export interface Scene {
  readonly house: House;
  readonly clients: readonly Client[];
}

export async function scene(t: Test, count: number): Promise<Scene> {
  const house = await House.open(t, { config });
  const created = await house.admin.ssh(['init', repository, '--visibility', 'internal']);
  if (created.status !== 0) throw new Error(created.stderr);
  const clients: Client[] = [];
  for (let n = 0; n < count; n++) {
    const person = await house.person(`user-${n}`);
    const granted = await house.admin.ssh(`repo access grant ${repository} ${person.name} write`);
    if (granted.status !== 0) throw new Error(granted.stderr);
    const work = await person.worktree();
    clients.push({ person, work, branch: `branch-${n}`, acknowledged: [] });
  }
  return { house, clients };
}

const as = ({ person, work }: Client) => ({ cwd: work, env: person.gitEnv() });

async function commit(client: Client, message: string): Promise<string> {
  await must('git', ['commit', '-q', '--allow-empty', '-m', message], as(client));
  return (await must('git', ['rev-parse', 'HEAD'], as(client))).stdout.trim();
}

/** A commit that nobody has, and its push. @returns whether the server said that it has it */
export async function push(client: Client, message: string, ...refspecs: string[]) {
  const oid = await commit(client, message);
  const { person, work, branch } = client;
  const what = refspecs.length === 0 ? [`HEAD:refs/heads/${branch}`] : refspecs;
  const words = ['push', '-q', person.url(repository), ...what];
  const { status, stderr } = await person.git(words, { cwd: work });
  if (status === 0) client.acknowledged.push(oid);
  return { status, stderr };
}

/** A clone must have whatever was acknowledged before it began. @returns what it lacks, or why there is none */
export async function clone(
  t: Test,
  client: Client,
  { clients }: Scene,
  name: string,
): Promise<void> {
  const before = clients.flatMap(({ acknowledged }) => acknowledged);
  const { person } = client;
  const copy = join(person.home, name);
  const words = ['clone', '-q', '--bare', person.url(repository), copy];
  const { status, stderr } = await person.git(words);
  t.equal(status, 0, `${name} of ${person.name} ${stderr}`);
  if (status !== 0) return;
  const has = new Set((await must('git', ['rev-list', '--all'], { cwd: copy })).stdout.split('\n'));
  t.same(
    before.filter((oid) => !has.has(oid)),
    [],
    'it has all that was there',
  );
  const { stdout } = await must('git', ['fsck', '--full', '--no-dangling'], { cwd: copy });
  t.equal(stdout, '', 'and is whole');
}

export async function allIsWell(t: Test, { house, clients }: Scene): Promise<void> {
  const { dataDir } = house;
  t.same(await quiet(dataDir), [], 'no process, lock, quarantine, open record or unsettled push');
  t.same(await faults(dataDir), [], 'git and history find no fault');
  const has = await reachable(dataDir, repository);
  for (const { person, acknowledged } of clients) {
    const lost = acknowledged.filter((oid) => !has.has(oid));
    t.same(lost, [], `all ${acknowledged.length} acknowledged commits of ${person.name} are there`);
  }
  t.match(await house.operator('audit verify --json'), { status: 0, stdout: /"ok":true/ });
  // Whoever left a lock behind would keep this from ending.
  const alone = await house.operator(['repo', 'set', repository, '--visibility', 'private']);
  t.equal(alone.status, 0, `the repository can be had alone ${alone.stderr}`);
}

/** Each client pushes to a branch of its own while as many clone, so many times, all at once. */
export async function pushesAndClones(t: Test, { clients: count, rounds }: Counts): Promise<void> {
  const stage = await scene(t, count);
  const started = performance.now();

  for (let round = 0; round < rounds; round++) {
    const pushes = stage.clients.map((client) => push(client, `round ${round}`));
    const clones = stage.clients.map((client) => clone(t, client, stage, `copy-${round}`));
    const [answers] = await Promise.all([Promise.all(pushes), Promise.all(clones)]);
    t.same(
      answers.filter(({ status }) => status !== 0),
      [],
      `round ${round}: every push is taken`,
    );
  }

  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  t.comment(`${rounds} rounds of ${count} pushes and ${count} clones in ${seconds} s`);
  await allIsWell(t, stage);
}

/** All force one branch at once: whoever is let through overwrites somebody, whose commit is kept in the archive. */
export async function oneBranch(t: Test, { clients: count, rounds }: Counts): Promise<void> {
  const stage = await scene(t, count);

  for (let round = 0; round < rounds; round++) {
    const pushes = stage.clients.map((client) =>
      push(client, `round ${round}`, '+HEAD:refs/heads/shared'),
    );
    const statuses = (await Promise.all(pushes)).map(({ status }) => status);
    t.ok(statuses.includes(0), `round ${round}: somebody is let through`);
  }

  const acknowledged = stage.clients.reduce((sum, client) => sum + client.acknowledged.length, 0);
  t.comment(`${acknowledged} of ${count * rounds} were let through`);
  await allIsWell(t, stage);
}

/**
 * A push that takes long to be written down, as on a slow disk, and one that overwrites it meanwhile. The second may
 * not pass the first: history would tell them in the wrong order, and a crash would lose the first one's tip.
 */
export async function slowDisk(t: Test): Promise<void> {
  const stage = await scene(t, 2);
  const [first, second] = stage.clients;
  if (first === undefined || second === undefined) throw new Error('nobody is there');
  const { house } = stage;
  const there = bare(house.dataDir, repository);
  const slow = await inject(house.pid, {
    call: 'fsync',
    what: 'delay_exit=100000',
    threads: 'others',
  });
  // Many folders, each of which is synced.
  const many = Array.from({ length: 40 }, (_, n) => `HEAD:refs/heads/many-${n}/x`);

  const pushed = push(first, 'slow', 'HEAD:refs/heads/shared', ...many);
  await appears(join(there, 'refs/heads/shared'));
  const overwritten = await push(second, 'quick', '+HEAD:refs/heads/shared');
  const { status, stderr } = await pushed;
  await slow.stop();

  t.equal(status, 0, stderr);
  t.equal(overwritten.status, 0, overwritten.stderr);
  await allIsWell(t, stage);
}

export interface Counts {
  readonly clients: number;
  readonly rounds: number;
}

/** A client whose processes are all in one group of their own. */
function launch({ person, work }: Client, words: readonly string[]): ChildProcess {
  return spawn('git', words, {
    cwd: work,
    env: cleanEnv(person.gitEnv()),
    stdio: 'ignore',
    detached: true,
  });
}

/** A client that is killed with its ssh after a random while, wherever it is then. */
async function cutOff(client: Client, roll: Dice, words: readonly string[]): Promise<void> {
  const child = launch(client, words);
  const closed = once(child, 'close');
  const done = new AbortController();
  void closed.then(() => done.abort());
  await wait(roll.below(700), undefined, { signal: done.signal }).catch(() => undefined);
  if (child.exitCode === null && child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  await closed;
}

/** One thing that somebody does, chosen by the dice. */
async function act(client: Client, { house, clients }: Scene, roll: Dice, id: string) {
  const { person, branch } = client;
  const url = person.url(repository);
  const shared = '+HEAD:refs/heads/shared';
  const other = roll.pick(clients as readonly [Client, ...Client[]]).person.name;
  const deeds: readonly [() => Promise<unknown>, ...(() => Promise<unknown>)[]] = [
    () => push(client, id),
    () => push(client, id),
    () => push(client, id),
    () => push(client, id, shared),
    async () => {
      // A history of their own, over which others push theirs: every one of them is archived.
      await must('git', ['checkout', '-q', '--orphan', `orphan-${id}`], as(client));
      await push(client, id, shared);
      await must('git', ['checkout', '-q', 'main'], as(client));
    },
    () => person.git(['push', '-q', url, `:refs/heads/${branch}-${roll.below(3)}`]),
    () => push(client, id, `HEAD:refs/heads/${branch}-${roll.below(3)}`),
    async () => {
      await commit(client, id);
      await cutOff(client, roll, ['push', '-q', url, `HEAD:refs/heads/${branch}-cut`]);
    },
    async () => {
      await commit(client, id);
      await cutOff(client, roll, ['push', '-q', person.url(`${person.name}/new-${id}`), 'HEAD']);
    },
    () => cutOff(client, roll, ['clone', '-q', '--bare', url, join(person.home, `cut-${id}`)]),
    () => person.ssh('list --json'),
    () => person.ssh(`show ${repository}`),
    () => person.ssh(['init', `${person.name}/made-${id}`]),
    () => house.admin.ssh(['user', 'add', `new-${id}`]),
    () => house.admin.ssh(['repo', 'set', repository, '--description', id]),
    () => house.admin.ssh(['repo', 'access', 'grant', repository, other, 'admin']),
    () => house.admin.ssh(['repo', 'access', 'grant', repository, other, 'write']),
    () => house.operator('audit list --limit 5'),
  ];
  await roll.pick(deeds)();
}

/** Pushes, forced ones and deletions among them, clones and commands, and clients that are killed at any point. */
export async function anythingAtOnce(t: Test, { clients: count, rounds }: Counts): Promise<void> {
  const stage = await scene(t, count);
  const roll = dice();
  t.comment(`CPM_SEED=${roll.seed}`);

  await Promise.all(
    stage.clients.map(async (client, nth) => {
      for (let round = 0; round < rounds; round++)
        await act(client, stage, roll, `${nth}-${round}`);
    }),
  );

  const acknowledged = stage.clients.reduce((sum, client) => sum + client.acknowledged.length, 0);
  t.comment(`${acknowledged} acknowledged pushes`);
  await allIsWell(t, stage);
}
