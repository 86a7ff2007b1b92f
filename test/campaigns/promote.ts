import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import type { Test } from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import type { Person } from '../support/person.ts';
import type { Answer } from '../support/process.ts';
import { type Dice, dice } from './dice.ts';
import { faults, quiet, reachable } from './inspect.ts';

const app = 'acme/app';
const branches = ['main', 'one', 'two'] as const;

/** What is seen in the databases when a server is to die; `any`: some time after the command began. */
const phases = ['any', 'draining', 'giving', 'taken', 'followed'] as const;
type Phase = (typeof phases)[number];

const lookMs = 1;
/** So long after the beginning of the command `any` may be. */
const longestMs = 1500;
/** So often a hand-over that was cut off is tried again. */
const mostTries = 4;

interface Side {
  /** What the other calls it. */
  readonly name: string;
  readonly house: House;
}

interface Scene {
  readonly t: Test;
  readonly dice: Dice;
  readonly writer: Person;
  readonly work: string;
  /** Commits that some server said it has. */
  readonly acknowledged: Set<string>;
  /** How often a server died in each state of the two. */
  readonly deaths: Map<string, number>;
  readonly refusals: Map<string, number>;
}

/** Who leads, and who is to. */
interface Pair {
  readonly lead: Side;
  readonly next: Side;
}

const count = (counts: Map<string, number>, what: string) =>
  counts.set(what, (counts.get(what) ?? 0) + 1);

async function openScene(t: Test): Promise<{ scene: Scene; pair: Pair }> {
  const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
  const writer = await hq.person('ana');
  const setUp = async (house: House, words: string) => {
    const { status, stderr } = await house.admin.ssh(words);
    if (status !== 0) throw new Error(`${words}: ${stderr}`);
  };
  await setUp(hq, 'org create acme');
  await setUp(hq, `init ${app}`);
  await setUp(hq, `repo access grant ${app} ana write`);
  const work = await hq.admin.worktree();
  const tellings = { deaths: new Map(), refusals: new Map() };
  const scene = { t, dice: dice(), writer, work, acknowledged: new Set<string>(), ...tellings };
  const lead = { name: 'hq', house: hq };
  await write(scene, lead);
  await setUp(hq, `push ${app} --to b`);
  await setUp(b, 'servers follow hq --identities');
  return { scene, pair: { lead, next: { name: 'b', house: b } } };
}

/** A commit on top of a branch, or past it, is pushed. What the server says that it has is noted. */
async function write({ dice, ...scene }: Scene, { name, house }: Side): Promise<Answer> {
  const writer = scene.writer.at(house);
  const git = (...words: string[]) => writer.git(words, { cwd: scene.work });
  if (dice.below(4) === 0) await git('reset', '-q', '--hard', 'HEAD~1');
  await git('commit', '-q', '--allow-empty', '-m', `${name} ${dice.below(1e9)}`);
  const oid = (await git('rev-parse', 'HEAD')).stdout.trim();
  const to = `+${oid}:refs/heads/${dice.pick(branches)}`;
  const pushed = await git('push', '-q', writer.url(app), to);
  if (pushed.status === 0) scene.acknowledged.add(oid);
  return pushed;
}

/** Somebody pushes to whoever takes it until it is over. */
async function writeOn(scene: Scene, { lead, next }: Pair, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    const { status } = await write(scene, lead);
    if (status !== 0 && !over.aborted) await write(scene, next);
  }
}

/** Whom a server has for its main, and what it has noted of leads. @returns `none`, or states; `main` where it follows */
function stateOf(db: Sqlite.Database): string {
  const rows = db
    .prepare(
      `SELECT CASE role WHEN 'main' THEN 'main' ELSE coalesce(lead.state, 'none') END AS state
       FROM server LEFT JOIN lead ON server_id = server.id`,
    )
    .all() as { state: string }[];
  return rows.map(({ state }) => state).join(' ');
}

const open = ({ house }: Side) => new Sqlite(join(house.dataDir, 'cpm.db'), { readonly: true });

/** @returns what the two had noted when it was time to die; undefined where the command was over before */
async function reaches(
  phase: Phase,
  { pair, afterMs }: { pair: Pair; afterMs: number },
  over: AbortSignal,
): Promise<string | undefined> {
  const began = performance.now();
  const [here, there] = [open(pair.lead), open(pair.next)];
  try {
    while (!over.aborted) {
      const states = [stateOf(here), stateOf(there)] as const;
      const isIt = {
        any: performance.now() - began >= afterMs,
        draining: states[0] === 'draining',
        giving: states[0] === 'giving',
        taken: states[0] === 'giving' && states[1] === 'taken',
        followed: states[0] === 'main',
      };
      if (isIt[phase]) return states.join(' / ');
      await wait(lookMs);
    }
    return undefined;
  } finally {
    here.close();
    there.close();
  }
}

function statesOf({ lead, next }: Pair): string {
  const all = [open(lead), open(next)];
  try {
    return all.map(stateOf).join(' / ');
  } finally {
    for (const db of all) db.close();
  }
}

const promote = ({ lead, next }: Pair) =>
  lead.house.admin.ssh(`servers promote ${next.name} --yes --json`);

/** A hand-over while somebody pushes; one of the two dies in it. @returns whether it did */
async function round(scene: Scene, pair: Pair, phase: Phase): Promise<boolean> {
  const { dice, deaths } = scene;
  const victim = dice.pick([pair.lead, pair.next]);
  const afterMs = dice.below(longestMs);
  const over = new AbortController();
  const enough = new AbortController();
  const writing = writeOn(scene, pair, enough.signal);
  const dying = reaches(phase, { pair, afterMs }, over.signal);
  const promoting = promote(pair).finally(() => over.abort());
  const seen = await dying;
  if (seen !== undefined) await victim.house.kill();
  const done = await promoting;
  enough.abort();
  await writing;
  const what = seen === undefined ? phase : `${phase}, ${victim.name} died`;
  if (seen === undefined) {
    if (done.status !== 0) await carryOn(scene, pair, what);
  } else {
    const left = statesOf(pair);
    count(deaths, `${phase} of ${victim === pair.lead ? 'the lead' : 'the next'}, ${left}`);
    // The one that is to take over is still away where it died: nobody may write meanwhile.
    if (victim === pair.next) await checkNobody(scene, pair, what);
    await victim.house.restart();
    await checkNobody(scene, pair, what);
    await carryOn(scene, pair, what);
  }
  await checkSwitched(scene, pair, what);
  return seen !== undefined;
}

/** Where it is not known who leads, this is what people are told, with the command to repeat. */
async function checkNobody(scene: Scene, pair: Pair, what: string): Promise<void> {
  const { t } = scene;
  const { lead, next } = pair;
  if (statesOf(pair).split(' / ')[0] !== 'giving') return;
  const told = new RegExp(`nobody writes here until .*\\n?.*servers promote ${next.name} --yes`);
  t.match(await write(scene, lead), { status: 128, stderr: told }, `${what}: a push is told`);
  for (const words of ['servers list', 'servers status']) {
    const { stdout } = await lead.house.admin.ssh(`${words} --json`);
    const row = [{ name: next.name, error: told }];
    t.match(JSON.parse(stdout), row, `${what}: ${words} tells`);
  }
}

/**
 * The command is repeated until it has the other lead, or says that it does already.
 *
 * @throws Error where it does not come to that: who leads then is not known
 */
async function carryOn(scene: Scene, pair: Pair, what: string): Promise<void> {
  const { refusals } = scene;
  const leads = new RegExp(`${pair.next.name} leads`);
  const said: string[] = [];
  for (let nth = 1; nth <= mostTries; nth += 1) {
    const { status, stderr } = await promote(pair);
    if (status === 0 || (status === 5 && leads.test(stderr))) return;
    said.push(stderr.trim());
    count(refusals, stderr.trim());
  }
  throw new Error(
    `${what}: the other does not lead after ${mostTries} more tries\n${said.join('\n')}`,
  );
}

/** What of a run that broke off waits for the next one. */
const carriedOn = /^incoming\/sync-in-.* is left$/;

/** Exactly one takes pushes, the other says where to, and nothing is lost, at work or at fault. */
async function checkSwitched(scene: Scene, { lead, next }: Pair, what: string): Promise<void> {
  const { t, acknowledged } = scene;
  const at = new RegExp(`push to ssh://cpm@127.0.0.1:${next.house.port}/${app}`);
  t.match(
    await write(scene, lead),
    { status: 128, stderr: at },
    `${what}: no push to the old lead`,
  );
  t.match(await write(scene, next), { status: 0 }, `${what}: the new lead takes a push`);
  const { stdout } = await next.house.admin.ssh(`conflicts list ${app} --json`);
  const rows: { local: string | null; remote: string | null }[] = JSON.parse(stdout);
  const kept = new Set(rows.flatMap(({ local, remote }) => [local, remote]));
  const there = await reachable(next.house.dataDir, app);
  const lost = [...acknowledged].filter((oid) => !there.has(oid) && !kept.has(oid));
  t.same(lost, [], `${what}: ${next.name} has every commit that was acknowledged`);
  for (const { name, house } of [lead, next]) {
    t.same(await quiet(house.dataDir, carriedOn), [], `${what}: ${name} has nothing half done`);
    t.same(await faults(house.dataDir), [], `${what}: ${name} has no fault`);
    t.match(await house.admin.ssh('audit verify'), { status: 0 }, `${what}: the record of ${name}`);
  }
}

/**
 * The lead goes to and fro between two servers while somebody pushes, and so often one of the two dies in a hand-over:
 * when it comes to a phase, or at any time.
 */
export async function promotes(t: Test, { kills }: { kills: number }): Promise<void> {
  const { scene, pair: first } = await openScene(t);
  t.comment(`CPM_SEED=${scene.dice.seed}`);
  let pair = first;
  let died = 0;
  for (let nth = 0; died < kills && nth < 2 * kills; nth += 1) {
    const phase = phases[nth % phases.length] ?? 'any';
    if (await round(scene, pair, phase)) died += 1;
    pair = { lead: pair.next, next: pair.lead };
  }
  const told = (counts: Map<string, number>) =>
    [...counts].map((each) => `${each[1]} × ${each[0]}`).join('; ');
  t.comment(`${scene.acknowledged.size} pushes; died in ${told(scene.deaths)}`);
  t.comment(`refused on the way: ${told(scene.refusals) || 'nothing'}`);
  t.equal(died, kills, 'so many died');
}
