import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { bare, faults, quiet, reachable } from '../campaigns/inspect.ts';
import { doorOf, json } from '../commands/scenario.ts';
import { House } from '../support/house.ts';
import { must } from '../support/process.ts';

const house = await House.open(t, { config: 'archive:\n  keep: 1s\n' });
const { admin, dataDir } = house;
const ana = await house.person('ana');
const work = await ana.worktree();
await house.operator('org create acme');
for (const name of ['app', 'busy']) {
  await house.operator(`init acme/${name}`);
  await house.operator(`repo access grant acme/${name} ana write`);
}

const git = async (...words: string[]) =>
  (await must('git', words, { cwd: work, env: ana.gitEnv() })).stdout.trim();

async function commit(message: string): Promise<string> {
  await git('commit', '-q', '--allow-empty', '-m', message);
  return git('rev-parse', 'HEAD');
}

interface Maintained {
  readonly expired_tips: number;
  readonly pruned_objects: number;
}

const maintain = async (repo: string) =>
  (await json(doorOf(admin), `repo maintain ${repo}`)) as Maintained;

async function has(repo: string, oid: string): Promise<boolean> {
  return must('git', ['cat-file', '-e', oid], { cwd: bare(dataDir, repo) }).then(
    () => true,
    () => false,
  );
}

t.test('maintenance works beside pushes, clones and a rename', async (t) => {
  let name = 'acme/busy';
  const kept: string[] = [];
  let isOver = false;
  const push = async (spec: string): Promise<void> => {
    const tried = name;
    const { status, stderr } = await ana.git(['push', '-q', ana.url(name), spec], { cwd: work });
    if (tried === 'acme/busy' && /is called acme\/calm now/.test(stderr)) {
      name = 'acme/calm';
      return push(spec);
    }
    t.equal(status, 0, `push ${spec}: ${stderr}`);
  };
  const pushes = async () => {
    for (let round = 0; round < 6; round++) {
      const oid = await commit(`round ${round}`);
      await push(`${oid}:refs/heads/main`);
      kept.push(oid);
      await push(`+${await git('commit-tree', '-m', `${round}`, 'HEAD^{tree}')}:refs/heads/wild`);
    }
  };
  const clones = async () => {
    for (let round = 0; round < 4; round++) {
      const words = ['clone', '-q', '--mirror', ana.url(name), join(ana.home, `clone-${round}`)];
      const { status, stderr } = await ana.git(words);
      t.equal(status, 0, stderr);
      await must('git', ['fsck', '--strict'], { cwd: join(ana.home, `clone-${round}`) });
    }
  };
  const maintenance = async () => {
    let runs = 0;
    while (!isOver) {
      const { status, stderr } = await admin.ssh(`repo maintain ${name}`);
      // It gives way to a rename, and says so.
      if (status !== 0)
        t.match({ status, stderr }, { stderr: /gave way|is called acme\/calm now|was moved/ });
      runs += 1;
    }
    return runs;
  };

  await push('HEAD:refs/heads/main');
  const busy = Promise.all([pushes(), clones()]);
  const upkeep = maintenance();
  const begun = performance.now();
  const renamed = await admin.ssh('repo rename acme/busy acme/calm');
  name = 'acme/calm';
  t.equal(renamed.status, 0, renamed.stderr);
  t.ok(performance.now() - begun < 30_000);
  await busy;
  isOver = true;
  t.ok((await upkeep) > 0);

  t.strictSame(await quiet(dataDir), []);
  t.strictSame(await faults(dataDir), []);
  const there = await reachable(dataDir, name);
  t.strictSame(
    kept.filter((oid) => !there.has(oid)),
    [],
  );
  t.match(await json(doorOf(admin), 'status'), {
    maintenance: { running: null, last: /^acme\/(busy|calm)$/ },
  });
});

t.test('the space of a value whose time is over is given back, that of others stays', async (t) => {
  const url = ana.url('acme/app');
  const base = await commit('kept');
  const lost = await commit('lost');
  await git('push', '-q', url, `${lost}:refs/heads/main`, `${lost}:refs/heads/twin`);
  await git('push', '-q', url, `+${base}:refs/heads/main`, ':refs/heads/twin');
  const said = await admin.ssh('repo maintain acme/app --dry-run');
  t.equal(said.status, 0);
  let expired = 0;
  let pruned = 0;
  for (let tries = 0; pruned === 0 && tries < 100; tries++) {
    const done = await maintain('acme/app');
    expired += done.expired_tips;
    pruned += done.pruned_objects;
  }

  t.strictSame({ expired, pruned }, { expired: 1, pruned: 1 });
  t.notOk(await has('acme/app', lost));
  t.ok(await has('acme/app', base));
  t.strictSame(await faults(dataDir), []);
  t.match(await admin.ssh('repo undo acme/app main --yes'), {
    status: 3,
    stderr: /is not kept any more/,
  });
  t.match(
    readdirSync(join(bare(dataDir, 'acme/app'), 'objects/pack')).filter((name) =>
      name.endsWith('.mtimes'),
    ),
    [],
  );
});
