import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { must, run } from '../support/process.ts';
import { type Dice, dice } from './dice.ts';
import { faults, quiet } from './inspect.ts';

/** A repository under whatever name it has at the moment. */
interface Place {
  readonly id: string;
  name: string;
  /** Commits that the server said it has. */
  readonly acknowledged: Set<string>;
  /** Commits of which it said that they are gone for good. */
  readonly purged: Set<string>;
}

interface Scene {
  readonly house: House;
  readonly dice: Dice;
  readonly places: readonly [Place, ...Place[]];
  /** How often each verb was done, and refused or cut off. */
  readonly done: Map<string, [number, number]>;
  left: number;
  names: number;
}

interface Client {
  /** Whose git pushes: one who may write, and create nothing, or a push to what was deleted would make it anew. */
  readonly person: Person;
  readonly admin: Person;
  readonly work: string;
}

const branches = ['main', 'one', 'two', 'three'] as const;

async function git({ person, work }: Client, ...words: string[]): Promise<string> {
  return (await must('git', words, { cwd: work, env: person.gitEnv() })).stdout.trim();
}

async function push(client: Client, place: Place, spec: string): Promise<boolean> {
  const words = ['push', '-q', client.person.url(place.name), spec];
  return (await client.person.git(words, { cwd: client.work })).status === 0;
}

async function newCommit(client: Client, scene: Scene): Promise<string> {
  scene.names += 1;
  const words = ['commit', '-q', '--allow-empty', '-m', `commit ${scene.names}`];
  await git(client, ...words);
  return git(client, 'rev-parse', 'HEAD');
}

async function forced(client: Client, scene: Scene, place: Place): Promise<boolean> {
  const oid = await newCommit(client, scene);
  if (!(await push(client, place, `+${oid}:refs/heads/${scene.dice.pick(branches)}`))) return false;
  place.acknowledged.add(oid);
  return true;
}

/** On top of what the branch is now, as somebody does who pulled before. */
async function forward(client: Client, scene: Scene, place: Place): Promise<boolean> {
  const branch = scene.dice.pick(branches);
  const url = client.person.url(place.name);
  const fetched = await client.person.git(['fetch', '-q', url, branch], { cwd: client.work });
  if (fetched.status !== 0) return false;
  await git(client, 'reset', '-q', '--hard', 'FETCH_HEAD');
  const oid = await newCommit(client, scene);
  if (!(await push(client, place, `${oid}:refs/heads/${branch}`))) return false;
  place.acknowledged.add(oid);
  return true;
}

const say = async ({ admin }: Client, line: string): Promise<boolean> =>
  (await admin.ssh(line)).status === 0;

async function merge(client: Client, scene: Scene, place: Place): Promise<boolean> {
  const [source, into] = [scene.dice.pick(branches), scene.dice.pick(branches)];
  const line = `merge ${place.name} ${source} --into ${into} --json`;
  const { status, stdout } = await client.admin.ssh(line);
  if (status !== 0) return false;
  place.acknowledged.add(JSON.parse(stdout).commit);
  return true;
}

async function rename(client: Client, scene: Scene, place: Place): Promise<boolean> {
  scene.names += 1;
  const next = `acme/r${scene.names}`;
  if (!(await say(client, `repo rename ${place.name} ${next}`))) return false;
  place.name = next;
  return true;
}

/** Something leaks, is taken back, and then is to be nowhere. */
async function purge(client: Client, scene: Scene, place: Place): Promise<boolean> {
  const leak = await newCommit(client, scene);
  await git(client, 'reset', '-q', '--hard', 'HEAD^');
  const branch = `refs/heads/leak-${scene.names}`;
  if (!(await push(client, place, `${leak}:${branch}`))) return false;
  if (!(await push(client, place, `:${branch}`))) return false;
  if (!(await say(client, `repo history ${place.name} --purge ${leak} --yes`))) return false;
  place.purged.add(leak);
  return true;
}

/** What clients do, the likelier the more often it stands here. */
const verbs: readonly [
  readonly [string, (client: Client, scene: Scene, place: Place) => Promise<boolean>],
  ...(readonly [string, (client: Client, scene: Scene, place: Place) => Promise<boolean>])[],
] = [
  ['push', forward],
  ['push', forward],
  ['push', forward],
  ['forced push', forced],
  ['forced push', forced],
  ['forced push', forced],
  [
    'deletion',
    (client, { dice }, place) => push(client, place, `:refs/heads/${dice.pick(branches)}`),
  ],
  ['merge', merge],
  ['merge', merge],
  [
    'undo',
    (client, { dice }, { name }) => say(client, `repo undo ${name} ${dice.pick(branches)} --yes`),
  ],
  [
    'undo',
    (client, { dice }, { name }) => say(client, `repo undo ${name} ${dice.pick(branches)} --yes`),
  ],
  ['rename', rename],
  ['delete', (client, _, { name }) => say(client, `repo delete ${name} --yes`)],
  ['restore', (client, _, { name }) => say(client, `repo restore ${name}`)],
  ['restore', (client, _, { name }) => say(client, `repo restore ${name}`)],
  ['verify', (client, _, { name }) => say(client, `repo verify ${name}`)],
  ['maintenance', (client, _, { name }) => say(client, `repo maintain ${name}`)],
  ['purge', purge],
];

/** One client's steps, until there are none left or the server is gone. */
async function live(client: Client, scene: Scene, until: number): Promise<void> {
  while (scene.left > until) {
    scene.left -= 1;
    const [verb, act] = scene.dice.pick(verbs);
    const isDone = await act(client, scene, scene.dice.pick(scene.places));
    const [yes, no] = scene.done.get(verb) ?? [0, 0];
    scene.done.set(verb, isDone ? [yes + 1, no] : [yes, no + 1]);
  }
}

/** Where each repository lies and what it is called, by its id, whatever became of the client that moved it. */
function whereAre({
  dataDir,
}: House): Map<string, { directory: string; name: string | undefined }> {
  const found = new Map<string, { directory: string; name: string | undefined }>();
  for (const entry of readdirSync(join(dataDir, 'repositories/acme'))) {
    const directory = join(dataDir, 'repositories/acme', entry);
    const id = readFileSync(join(directory, 'cpm-id'), 'utf8').trim();
    found.set(id, { directory, name: `acme/${entry.replace(/\.git$/, '')}` });
  }
  for (const entry of readdirSync(join(dataDir, 'trash'))) {
    const directory = join(dataDir, 'trash', entry);
    found.set(entry.replace(/\.git$/, ''), { directory, name: undefined });
  }
  return found;
}

async function check(t: Test, { house, places }: Scene, what: string): Promise<void> {
  t.same(await quiet(house.dataDir), [], `${what}: nothing is left of what ran`);
  t.same(await faults(house.dataDir), [], `${what}: rows, history and repositories agree`);
  const found = whereAre(house);
  for (const place of places) {
    const at = found.get(place.id);
    if (at === undefined) {
      t.fail(`${what}: ${place.name} is gone`);
      continue;
    }
    place.name = at.name ?? place.name;
    const { stdout } = await run('git', ['rev-list', '--all'], { cwd: at.directory });
    const there = new Set(stdout.split('\n'));
    const lost = [...place.acknowledged].filter((oid) => !there.has(oid));
    t.same(lost, [], `${what}: ${place.name} has every commit that it acknowledged`);
    const asked = [...place.purged].map((oid) => `${oid}\n`).join('');
    const batch = ['cat-file', '--batch-check=%(objectname)'];
    const answers = await run('git', batch, { cwd: at.directory, stdin: asked });
    const left = answers.stdout.split('\n').filter((line) => /^[0-9a-f]{40}$/.test(line));
    t.same(left, [], `${what}: ${place.name} has nothing that was purged`);
  }
  t.match(await house.admin.ssh('audit verify'), { status: 0 }, `${what}: the record is whole`);
}

/** Every repository has two branches, one on top of the other, before anybody does anything. */
async function begin([client]: readonly Client[], scene: Scene): Promise<void> {
  if (client === undefined) return;
  for (const place of scene.places) {
    for (const branch of ['main', 'one']) {
      const oid = await newCommit(client, scene);
      if (await push(client, place, `${oid}:refs/heads/${branch}`)) place.acknowledged.add(oid);
    }
  }
}

/** Several clients do with some repositories whatever comes to their minds, and the server dies again and again. */
export async function life(
  t: Test,
  { steps, kills, clients = 4 }: { steps: number; kills: number; clients?: number },
): Promise<void> {
  const house = await House.open(t);
  const { admin } = house;
  await admin.ssh('org create acme');
  const bo = await house.person('bo');
  await admin.ssh('org access grant acme bo write');
  const places: Place[] = [];
  for (const name of ['acme/a', 'acme/b', 'acme/c']) {
    const { stdout } = await admin.ssh(`init ${name} --json`);
    places.push({ id: JSON.parse(stdout).id, name, acknowledged: new Set(), purged: new Set() });
  }
  const people: Client[] = [];
  for (let nth = 0; nth < clients; nth++) {
    people.push({ person: bo, admin, work: await bo.worktree(`work-${nth}`) });
  }
  const [first, ...more] = places;
  if (first === undefined) throw new Error('no repository was made');
  const scene: Scene = {
    ...{ house, dice: dice(), places: [first, ...more], done: new Map() },
    ...{ left: steps, names: 0 },
  };
  await begin(people, scene);
  t.comment(`CPM_SEED=${scene.dice.seed}`);
  for (let kill = 0; kill < kills; kill++) {
    const until = Math.floor((steps * (kills - kill - 1)) / kills);
    const living = people.map((client) => live(client, scene, until));
    // The last steps of a round run into the kill.
    const near = until + Math.min(clients, 2);
    while (scene.left > near) await Promise.race([...living, wait(5)]);
    await wait(scene.dice.below(150));
    await house.kill();
    await Promise.all(living);
    await house.restart();
    await check(t, scene, `after kill ${kill + 1}`);
  }
  const told = [...scene.done].map(([verb, [yes, no]]) => `${verb} ${yes} (and ${no} in vain)`);
  t.comment(told.join(', '));
  t.ok((scene.done.get('push')?.[0] ?? 0) + (scene.done.get('forced push')?.[0] ?? 0) > 0);
}
