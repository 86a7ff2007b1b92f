import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { initBare } from '../../src/programs/bare.ts';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { House } from './house.ts';

const never = new AbortController().signal;
const idIn = (directory: string) => readFileSync(join(directory, 'cpm-id'), 'utf8').trim();

async function namespaceOf(house: House, name: string) {
  const namespace = await house.core.store.names.find(name);
  if (namespace === undefined) throw new Error(`${name} is gone`);
  return namespace;
}

async function rename(house: House, repo: Repository, name: string, space = 'ada') {
  const namespace = await namespaceOf(house, space);
  return house.core.renames.repository(repo, { namespace, name, retakes: [] }, actor());
}

async function owner(house: House) {
  const { ownerId: id, name } = await namespaceOf(house, 'ada');
  return { kind: 'user', id, name } as const;
}

/** What a rename of ada/app does before and behind the crash that is to come between two of its steps. */
const cuts: Record<string, { moved: boolean; committed: boolean }> = {
  'before the directory moves': { moved: false, committed: false },
  'between the directory and the row': { moved: true, committed: false },
  'behind the commit of the row': { moved: true, committed: true },
  'behind a commit whose rename the disk lost': { moved: false, committed: true },
};

for (const [cut, { moved, committed }] of Object.entries(cuts)) {
  t.test(`a rename cut off ${cut}: row and directory are together after the start`, async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    const { store, repos } = house.core;
    const [from, to] = ['ada/app', 'guild/core'] as const;
    await store.orgs.add({ name: 'guild', description: '', ownerId: undefined }, actor());
    await store.moves.begin({ kind: 'repo', subjectId: app.id, from, to });
    mkdirSync(join(house.dataDir, 'repositories/guild'));
    const places = [from, to].map((fullName) => repos.directory({ fullName }));
    if (moved) renameSync(places[0] ?? '', places[1] ?? '');
    if (committed) {
      const place = { namespace: await namespaceOf(house, 'guild'), name: 'core', retakes: [] };
      await store.moves.renameRepo(app, place, actor(), async () => undefined);
      // Its own commit takes the move from the journal: here another crash put it back.
      await store.moves.begin({ kind: 'repo', subjectId: app.id, from, to });
    }

    await house.crash();

    const now = await house.core.store.repositories.byId(app.id);
    t.equal(now?.fullName, committed ? to : from);
    t.equal(idIn(house.core.repos.directory({ fullName: committed ? to : from })), app.id);
    t.notOk(existsSync(places[committed ? 0 : 1] ?? ''), 'and nowhere else');
    t.same(await house.core.store.moves.unfinished(), []);
    (await house.core.repos.hold(now as Repository, never))();
  });

  t.test(`a namespace’s rename cut off ${cut}: the directory follows the name`, async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    const lib = await house.create('lib');
    const { store } = house.core;
    const ada = await owner(house);
    const folders = ['ada', 'eva'].map((name) => join(house.dataDir, 'repositories', name));
    const move = { kind: 'namespace', subjectId: ada.id, from: 'ada', to: 'eva' } as const;
    await store.moves.begin(move);
    if (moved) renameSync(folders[0] ?? '', folders[1] ?? '');
    if (committed) {
      await store.moves.renameOwner(ada, 'eva', actor(), async () => undefined);
      await store.moves.begin(move);
    }

    await house.crash();

    t.notOk(existsSync(folders[committed ? 0 : 1] ?? ''));
    for (const { id, name } of [app, lib]) {
      const now = await house.core.store.repositories.byId(id);
      t.equal(now?.fullName, `${committed ? 'eva' : 'ada'}/${name}`);
      (await house.core.repos.hold(now as Repository, never))();
    }
    t.same(await house.core.store.moves.unfinished(), []);
  });
}

t.test(
  'a move that can’t be settled stays in the journal, and keeps nobody from starting',
  async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    const move = { kind: 'repo', subjectId: app.id, from: 'ada/app', to: 'ada/core' } as const;
    await house.core.store.moves.begin(move);
    const lost = join(house.dataDir, 'lost');
    renameSync(house.core.repos.directory(app), lost);

    await house.crash();

    t.same(await house.core.store.moves.unfinished(), [move]);
    renameSync(lost, house.core.repos.directory({ fullName: 'ada/core' }));
    await house.crash();
    t.same(await house.core.store.moves.unfinished(), []);
    t.equal(idIn(house.core.repos.directory(app)), app.id);
  },
);

t.test('a rename that fails leaves everything as it was, somebody’s directory too', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const way = house.core.repos.directory({ fullName: 'ada/core' });
  mkdirSync(way);
  writeFileSync(join(way, 'work'), '');
  mkdirSync(join(house.dataDir, 'repositories/eva'));
  writeFileSync(join(house.dataDir, 'repositories/eva/work'), '');

  await t.rejects(rename(house, app, 'core'), {
    code: 'conflict',
    message: /ada\/core: a directory/,
  });
  await t.rejects(house.core.renames.owner(await owner(house), 'eva', actor()), {
    code: 'conflict',
    message: /^eva: a directory/,
  });

  t.match(await house.repository('app'), { id: app.id, fullName: 'ada/app' });
  t.equal(idIn(house.core.repos.directory(app)), app.id);
  t.same(readdirSync(way), ['work']);
  t.same(readdirSync(join(house.dataDir, 'repositories/eva')), ['work']);
  t.same(await house.core.store.moves.unfinished(), []);
});

t.test('an empty repository that a crash left in the way makes room', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const way = house.core.repos.directory({ fullName: 'ada/core' });
  await initBare(way, { defaultBranch: 'main', repoId: crypto.randomUUID() });

  t.equal(await rename(house, app, 'core'), true);

  t.equal(idIn(way), app.id);
});

t.test(
  'S11 a rename waits for who holds the repository, and those behind it are told',
  async (t) => {
    const house = await House.open(t);
    const app = await house.create('app');
    const release = await house.core.repos.hold(app, never);
    const renamed = rename(house, app, 'core');
    while (house.core.repos.waiting < 1) await new Promise(setImmediate);
    const renamedAll = house.core.renames.owner(await owner(house), 'eva', actor());
    const told = { code: 'unavailable', message: /ada\/app: it was moved meanwhile/ };
    const late = t.rejects(house.core.repos.hold(app, never), told);

    release();

    t.equal(await renamed, true);
    t.equal(await renamedAll, true);
    await late;
    const now = await house.core.store.repositories.byId(app.id);
    t.equal(now?.fullName, 'eva/core');
    t.equal(idIn(house.core.repos.directory({ fullName: 'eva/core' })), app.id);
  },
);

t.test('two renames at once: one after the other, and each row with its directory', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const lib = await house.create('lib');

  const ends = await Promise.allSettled([
    rename(house, app, 'core'),
    rename(house, lib, 'core'),
    rename(house, app, 'base'),
    house.create('core'),
  ]);

  t.ok(ends.some(({ status }) => status === 'fulfilled'));
  const page = await house.core.store.repositories.page(
    { kind: 'all' },
    { after: { namespace: '', name: '' }, limit: 10 },
  );
  for (const repo of page) t.equal(idIn(house.core.repos.directory(repo)), repo.id, repo.fullName);
  t.same(
    readdirSync(join(house.dataDir, 'repositories/ada')).sort(),
    page.map(({ name }) => `${name}.git`),
  );
  t.same(await house.core.store.moves.unfinished(), []);
});

t.test('a repository has 50 aliases and no more', async (t) => {
  const house = await House.open(t);
  const app = await house.create('app');
  const { aliases } = house.core.store;
  const add = (text: string) => {
    const path = { namespaceId: '', name: '', text };
    return aliases.add(app, { path, retakes: [] }, actor());
  };
  for (let n = 0; n < 50; n++) t.equal(await add(`Old/N${n}`), true);

  await t.rejects(add('Old/More'), { code: 'unavailable', message: /ada\/app has 50 aliases/ });

  t.equal(await add('Old/N7'), false, 'but those that are there are done already');
});
