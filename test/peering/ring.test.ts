import { join } from 'node:path';
import t from 'tap';
import { nullOid } from '../../src/model/ref.ts';
import { Follower } from '../support/follower.ts';
import { House } from '../support/house.ts';
import { introduce } from '../support/pair.ts';
import { must } from '../support/process.ts';

const names = ['a', 'b', 'c', 'd'] as const;
type Name = (typeof names)[number];

const app = 'acme/app';
const opened = await Promise.all(names.map(() => House.open(t, { syncs: true })));
const ring = new Map(opened.map((house, at) => [names[at], house]));
const at = (name: Name): House => ring.get(name) as House;

/** The one before and the one after. */
function neighborsOf(name: Name): readonly [Name, Name] {
  const place = names.indexOf(name);
  return [names.at(place - 1) as Name, names[(place + 1) % names.length] as Name];
}

const say = async (name: Name, words: string): Promise<void> => {
  const { status, stderr } = await at(name).admin.ssh(words);
  if (status !== 0) throw new Error(`${name}: ${words}: ${stderr}`);
};
const all = (work: (name: Name) => Promise<unknown>) => Promise.all(names.map(work));

await all(async (name) => {
  for (const other of neighborsOf(name)) {
    await introduce(at(name), at(other), { name: other, role: 'dev' });
  }
  await say(name, 'org create acme');
  await say(name, `init ${app}`);
});
await all(async (name) => {
  for (const other of neighborsOf(name)) await say(name, `servers link ${other} ${app}`);
});

const ada = at('a').admin;
const work = await ada.worktree();
const git = (words: string) => must('git', words.split(' '), { cwd: work, env: ada.gitEnv() });

async function commit(text: string): Promise<string> {
  await git(`commit -q --allow-empty -m ${text}`);
  return (await git('rev-parse HEAD')).stdout.trim();
}

const push = (name: Name, spec: string) => {
  const person = at(name).admin;
  return must('git', ['push', '-q', person.url(app), spec], { cwd: work, env: person.gitEnv() });
};

const follow = (name: Name) =>
  Follower.ssh(t, at(name), { person: at(name).admin, words: 'events --follow --since 0' });
const followers = new Map<Name, Follower>(names.map((name) => [name, follow(name)]));
const lines = (name: Name) => followers.get(name)?.lines ?? [];

/** Waits until a ref of a server has moved to a value. */
async function moved(name: Name, ref: string, oid: string): Promise<void> {
  await followers.get(name)?.reads(moveOf(ref, oid));
}

const moveOf = (ref: string, oid: string) => (line: Record<string, unknown>) =>
  line['type'] === 'ref-updated' && line['ref'] === ref && line['new'] === oid;

async function refsOf(name: Name): Promise<string> {
  const path = join(at(name).dataDir, 'repositories', `${app}.git`);
  const args = ['for-each-ref', 'refs/heads', 'refs/tags', '--format=%(objectname) %(refname)'];
  return (await must('git', ['-C', path, ...args])).stdout;
}

/** Everybody meets both neighbors once more: what one of them had otherwise would move now. */
async function meetAll(): Promise<void> {
  await all(async (name) => {
    for (const other of neighborsOf(name)) await say(name, `servers sync ${other}`);
  });
}

t.test('one write comes once to everybody, whichever way round it goes', async (t) => {
  const oid = await commit('one');
  await push('a', 'main');
  for (const name of names) await moved(name, 'refs/heads/main', oid);
  await meetAll();

  for (const name of names) {
    const moves = lines(name).filter(moveOf('refs/heads/main', oid));
    t.equal(moves.length, 1, `${name}: ${JSON.stringify(moves)}`);
    t.equal(await refsOf(name), await refsOf('a'));
    t.match(await at(name).admin.ssh('conflicts list --json'), { stdout: /^\[\]\s*$/ });
  }
});

t.test(
  'what one deletes is gone everywhere, and comes back only when it is made again',
  async (t) => {
    await push('a', 'main:topic');
    const tip = (await git('rev-parse HEAD')).stdout.trim();
    for (const name of names) await moved(name, 'refs/heads/topic', tip);
    await push('c', ':topic');
    for (const name of names) await moved(name, 'refs/heads/topic', nullOid);
    await meetAll();

    for (const name of names) t.notMatch(await refsOf(name), /topic/, name);
    t.equal(lines('a').filter(moveOf('refs/heads/topic', nullOid)).length, 1);

    await push('b', 'main:topic');
    const again = (line: Record<string, unknown>) =>
      moveOf('refs/heads/topic', tip)(line) && line['old'] === nullOid;
    const isSecond = (name: Name) => () => lines(name).filter(again).length === 2;
    for (const name of names) await followers.get(name)?.reads(isSecond(name));
  },
);

t.test('one that was away gets what was written and deleted meanwhile', async (t) => {
  await push('b', 'main:late');
  const tip = (await git('rev-parse HEAD')).stdout.trim();
  for (const name of names) await moved(name, 'refs/heads/late', tip);
  await at('c').stop();

  const oid = await commit('two');
  await push('a', 'main');
  await push('d', ':late');
  for (const name of ['a', 'b', 'd'] as const) {
    await moved(name, 'refs/heads/main', oid);
    await moved(name, 'refs/heads/late', nullOid);
  }
  await at('c').restart();
  followers.set('c', follow('c'));

  await moved('c', 'refs/heads/main', oid);
  await moved('c', 'refs/heads/late', nullOid);
  await meetAll();
  for (const name of names) {
    t.equal(await refsOf(name), `${oid} refs/heads/main\n${tip} refs/heads/topic\n`, name);
    await must('git', ['-C', join(at(name).dataDir, 'repositories', `${app}.git`), 'fsck']);
  }
});
