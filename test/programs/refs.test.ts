import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { nullOid } from '../../src/model/ref.ts';
import { initBare } from '../../src/programs/bare.ts';
import { type Git, openGit } from '../../src/programs/git.ts';
import { checkConnected, isForward } from '../../src/programs/pack.ts';
import {
  allRefs,
  countRefs,
  isSymref,
  readRef,
  readRefsOf,
  syncRefs,
} from '../../src/programs/refs.ts';
import { sweepQuarantine } from '../../src/programs/sweep.ts';
import { archiveTips, notReachable, updateRefs } from '../../src/programs/tips.ts';

interface Repo {
  readonly directory: string;
  readonly git: Git;
  text(args: readonly string[], input?: string): Promise<string>;
  /** A commit on top of others. */
  commit(message: string, ...parents: string[]): Promise<string>;
}

async function makeRepo(t: Test): Promise<Repo> {
  const root = t.testdir({ home: {} });
  const directory = join(root, 'a.git');
  await initBare(directory, { defaultBranch: 'main', repoId: randomUUID() });
  const git = await openGit({ houseId: randomUUID(), emptyHome: join(root, 'home') });
  const person = ['-c', 'user.name=Ana', '-c', 'user.email=ana@example.org'];
  const text = async (args: readonly string[], input = ''): Promise<string> => {
    const ran = await git.run([...person, ...args], { cwd: directory, input });
    if (ran.status !== 0) throw new Error(ran.stderr);
    return ran.stdout.toString().trim();
  };
  const tree = await text(['mktree']);
  return {
    directory,
    git,
    text,
    commit: (message, ...parents) =>
      text(['commit-tree', tree, '-m', message, ...parents.flatMap((one) => ['-p', one])]),
  };
}

t.test('refs read the same loose, packed, in both, and after a deletion', async (t) => {
  const { directory, git, text, commit } = await makeRepo(t);
  const [one, two] = [await commit('one'), await commit('two')];
  const read = (ref: string) => readRef(directory, ref);
  await text(['update-ref', 'refs/heads/main', one]);
  t.equal(await read('refs/heads/main'), one, 'loose');

  await text(['pack-refs', '--all', '--prune']);
  t.equal(await read('refs/heads/main'), one, 'packed');
  t.equal(await read('HEAD'), one, 'through HEAD');

  await text(['update-ref', 'refs/heads/main', two]);
  t.equal(await read('refs/heads/main'), two, 'loose above packed');

  await text(['update-ref', '-d', 'refs/heads/main']);
  t.equal(await read('refs/heads/main'), undefined, 'deleted');
  t.equal(await read('HEAD'), undefined);

  await text(['update-ref', 'refs/heads/a/b/c', two]);
  t.equal(await read('refs/heads/a/b'), undefined, 'a folder is no ref');
  t.equal(await read('refs/heads/a/b/c/d'), undefined, 'nor is what would lie in a ref');
  t.equal(git.version.startsWith('2.'), true);
});

t.test('any ref is found in a big packed-refs, by halving and by reading through', async (t) => {
  const { directory, text, commit } = await makeRepo(t);
  const oid = await commit('one');
  const tag = await text(
    ['mktag'],
    `object ${oid}\ntype commit\ntag x\ntagger A <a@b> 1 +0000\n\nx\n`,
  );
  const names = Array.from({ length: 3000 }, (_, n) => `refs/heads/b${(n * 7919) % 3000}`);
  const tags = Array.from({ length: 300 }, (_, n) => `refs/tags/v${n}-${'long'.repeat(n % 40)}`);
  const lines = [
    ...names.map((ref) => `create ${ref} ${oid}\n`),
    ...tags.map((ref) => `create ${ref} ${tag}\n`),
    `create refs/heads/ü ${oid}\ncreate refs/heads/zzz ${oid}\ncreate refs/heads/a ${oid}\n`,
  ];
  await text(['update-ref', '--stdin'], lines.join(''));
  await text(['pack-refs', '--all', '--prune']);

  for (const ref of [...names.slice(0, 300), 'refs/heads/ü', 'refs/heads/zzz', 'refs/heads/a']) {
    if ((await readRef(directory, ref)) !== oid) t.fail(ref);
  }
  for (const ref of tags) if ((await readRef(directory, ref)) !== tag) t.fail(ref);
  for (const ref of ['refs/heads/b', 'refs/heads/b3000', 'refs/a', 'refs/zz', 'refs/heads/b0x']) {
    t.equal(await readRef(directory, ref), undefined, ref);
  }
  const all = await readRefsOf(directory, [...names, ...tags, 'refs/heads/absent']);
  t.equal(all.size, 3300);
  t.equal(all.get('refs/heads/b2999')?.oid, oid);
  t.equal(all.get(tags[299] ?? '')?.oid, tag, 'the tag, not what it peels to');
  t.equal(await countRefs(directory), 3303);
});

t.test(
  'all refs are listed by name, loose above packed, hidden ones too, symrefs not',
  async (t) => {
    const { directory, git, text, commit } = await makeRepo(t);
    const [one, two] = [await commit('one'), await commit('two')];
    for (const ref of ['b', 'a/x', 'c']) await text(['update-ref', `refs/heads/${ref}`, one]);
    await text(['pack-refs', '--all', '--prune']);
    await text(['update-ref', 'refs/heads/c', two]);
    await text(['update-ref', '-d', 'refs/heads/b']);
    await text(['symbolic-ref', 'refs/heads/alias', 'refs/heads/c']);
    await archiveTips(git, directory, [one]);

    t.same(await allRefs(directory), [
      { name: `refs/cpm/archive/${one}`, oid: one },
      { name: 'refs/heads/a/x', oid: one },
      { name: 'refs/heads/c', oid: two },
    ]);
    t.equal(await countRefs(directory), 3, 'a symref shows to clients');
  },
);

t.test('a name that holds a Unicode line separator makes no other ref appear', async (t) => {
  const { directory, text, commit } = await makeRepo(t);
  const oid = await commit('one');
  await text(['update-ref', `refs/heads/a\u2028${oid}`, oid]);
  await text(['pack-refs', '--all', '--prune']);

  const many = Array.from({ length: 20 }, (_, n) => `refs/heads/x${n}`);
  const seen = await readRefsOf(directory, ['refs/heads/a', `refs/heads/a\u2028${oid}`, ...many]);
  t.same([...seen.keys()], [`refs/heads/a\u2028${oid}`]);
});

t.test('a reader is never wrong while git packs, prunes and moves the ref', async (t) => {
  const { directory, text, commit } = await makeRepo(t);
  const oids = [await commit('one'), await commit('two')];
  await text(['update-ref', 'refs/heads/main', oids[0] ?? '']);
  let done = false;
  const writing = (async () => {
    for (let nth = 0; nth < 30; nth++) {
      await text(['update-ref', 'refs/heads/main', oids[nth % 2] ?? '']);
      await text(['pack-refs', '--all', '--prune']);
    }
    done = true;
  })();
  let reads = 0;
  while (!done) {
    const oid = await readRef(directory, 'refs/heads/main');
    if (!oids.includes(oid ?? '')) t.fail(`read ${oid}`);
    reads += 1;
    await new Promise((resolve) => setImmediate(resolve));
  }
  await writing;
  t.ok(reads > 30, `${reads} reads`);
});

t.test('symrefs show as such, symbolic links too, and broken refs are errors', async (t) => {
  const { directory, text, commit } = await makeRepo(t);
  const oid = await commit('one');
  await text(['update-ref', 'refs/heads/main', oid]);
  await text(['symbolic-ref', 'refs/heads/alias', 'refs/heads/main']);
  symlinkSync('main', join(directory, 'refs/heads/link'));
  await text(['symbolic-ref', 'refs/heads/loop', 'refs/heads/loop']);
  writeFileSync(join(directory, 'refs/heads/broken'), 'not an oid\n');

  t.ok(await isSymref(directory, 'HEAD'));
  t.ok(await isSymref(directory, 'refs/heads/alias'));
  t.ok(await isSymref(directory, 'refs/heads/link'));
  t.notOk(await isSymref(directory, 'refs/heads/main'));
  t.notOk(await isSymref(directory, 'refs/heads/absent'));
  t.equal(await readRef(directory, 'refs/heads/alias'), oid);
  t.equal(await readRef(directory, 'refs/heads/loop'), undefined);
  t.same((await readRefsOf(directory, ['HEAD'])).get('HEAD'), { symref: 'refs/heads/main' });
  await t.rejects(readRef(directory, 'refs/heads/broken'), /neither an object id nor a ref/);
});

t.test(
  'syncing minds no folder that a deletion took away, but a repository that is gone',
  async (t) => {
    const { directory } = await makeRepo(t);
    mkdirSync(join(directory, 'refs/heads/a/b'), { recursive: true });

    await syncRefs(directory, ['refs/heads/a/b/c', 'refs/heads/gone/x', 'refs/tags/v1']);
    await syncRefs(directory, []);

    rmSync(directory, { recursive: true });
    await t.rejects(syncRefs(directory, ['refs/heads/a']), { code: 'ENOENT' });
  },
);

t.test(
  'which old tips would be lost: forced over, deleted, tags, and what is only behind',
  async (t) => {
    const { directory, git, text, commit } = await makeRepo(t);
    const base = await commit('base');
    const left = await commit('left', base);
    const right = await commit('right', base);
    const tag = await text(
      ['mktag'],
      `object ${base}\ntype commit\ntag x\ntagger A <a@b> 1 +0000\n\nx\n`,
    );
    const blob = await text(['hash-object', '-w', '--stdin'], 'x');
    const lost = (olds: string[], news: string[]) => notReachable(git, directory, { olds, news });

    t.same(await lost([base], [left]), [], 'a fast-forward loses nothing');
    t.same(await lost([left], [right]), [left]);
    t.same(await lost([left, base, left], [right, right]), [left], 'each once');
    t.same(await lost([left], [nullOid]), [left], 'a deletion');
    t.same(await lost([nullOid], [right]), [], 'a creation');
    t.same(await lost([left], [right, left]), [], 'moved to another name');
    t.same(await lost([tag], [left]), [tag], 'a tag object is reached by no commit');
    t.same(await lost([tag, blob], [tag, left]), [blob]);
    t.same(await lost(['deadbeef'.repeat(5)], [left]), [], 'what is gone can’t be lost');
    t.same(await lost([], [left]), []);
  },
);

t.test('a long history is not read to its end when the answer is known', async (t) => {
  const { directory, git, text } = await makeRepo(t);
  const lines = ['blob\nmark :1\ndata 1\nx\n'];
  for (let n = 1; n <= 3000; n++) {
    lines.push(`commit refs/heads/old\ncommitter A <a@b> ${n} +0000\ndata 1\nx\n`);
  }
  await text(['fast-import', '--quiet'], lines.join(''));
  const old = await text(['rev-parse', 'refs/heads/old']);
  const tree = await text(['mktree']);
  const apart = await text(['commit-tree', tree, '-m', 'apart']);

  t.same(await notReachable(git, directory, { olds: [old], news: [apart] }), [old]);
});

t.test(
  'archived tips survive a prune, are hidden, and archiving again changes nothing',
  async (t) => {
    const { directory, git, text, commit } = await makeRepo(t);
    const [one, two] = [await commit('one'), await commit('two')];

    await archiveTips(git, directory, [one, nullOid, one]);
    await archiveTips(git, directory, [one, two]);
    await archiveTips(git, directory, []);
    await text(['prune', '--expire=now']);

    t.equal(await readRef(directory, `refs/cpm/archive/${one}`), one);
    t.equal(await text(['cat-file', '-t', two]), 'commit');
    t.equal(await countRefs(directory), 0);
    t.notMatch(await text(['upload-pack', '--http-backend-info-refs', '.']), /archive/);
    await t.rejects(archiveTips(git, directory, ['deadbeef'.repeat(5)]), /update-ref/);
  },
);

t.test('what new commits lead to is known from the look whether all is there', async (t) => {
  const { directory, git, text, commit } = await makeRepo(t);
  const old = await commit('old');
  await text(['update-ref', 'refs/heads/main', old]);
  const one = await commit('one', old);
  const [left, right] = [await commit('left', one), await commit('right', one)];
  const tip = await commit('tip', left, right);
  const apart = await commit('apart');
  const { signal } = new AbortController();
  const look = (tips: readonly string[], atMost?: number) =>
    checkConnected(git, directory, {
      ...{ tips, scratch: undefined, signal },
      ...(atMost !== undefined && { atMost }),
    });
  const commits = await look([tip, apart], 10);
  t.strictSame([...(commits.get(tip) ?? [])], [left, right], 'a merge with both its parents');
  t.notOk(commits.has(old), 'what a ref reaches is not new');
  t.ok(isForward(commits, { mine: old, theirs: tip }), 'ahead of what was here');
  t.ok(isForward(commits, { mine: one, theirs: tip }), 'by any way');
  t.notOk(isForward(commits, { mine: tip, theirs: one }), 'and not the other way round');
  t.notOk(isForward(commits, { mine: old, theirs: apart }), 'what has no parent leads nowhere');
  t.equal((await look([tip], 2)).size, 2, 'no more of them than were asked for');
  t.equal((await look([tip])).size, 0, 'none where nobody asks');
  const broken = await text(['mktree', '--missing'], `100644 blob ${'1'.repeat(40)}\tlost\n`);
  const bad = await text(['commit-tree', broken, '-p', old, '-m', 'bad']);
  for (const atMost of [0, 10]) await t.rejects(look([bad], atMost), /rev-list ended with 128/);
});

t.test('refs move together and only from where they are', async (t) => {
  const { directory, git, commit } = await makeRepo(t);
  const [one, two] = [await commit('one'), await commit('two')];
  const move = (...moves: [string, string, string][]) =>
    updateRefs(
      git,
      directory,
      moves.map(([ref, old, next]) => ({ ref, old, new: next })),
    );
  await move(['refs/heads/a', nullOid, one], ['refs/heads/b', nullOid, one]);

  await t.rejects(move(['refs/heads/a', one, two], ['refs/heads/b', two, one]), {
    code: 'conflict',
  });
  await t.rejects(move(['refs/heads/a', nullOid, two]), { code: 'conflict' });
  await t.rejects(move(['refs/heads/a', two, nullOid]), { code: 'conflict' });
  await t.rejects(move(['refs/heads/a/b', nullOid, two]), { code: 'conflict' });
  t.equal(await readRef(directory, 'refs/heads/a'), one);

  await move(['refs/heads/a', one, two], ['refs/heads/b', one, nullOid]);
  await move();
  t.equal(await readRef(directory, 'refs/heads/a'), two);
  t.equal(await readRef(directory, 'refs/heads/b'), undefined);
});

t.test('the sweep removes what a killed git left, and no ref', async (t) => {
  const { directory, text, commit } = await makeRepo(t);
  const oid = await commit('one');
  await text(['update-ref', 'refs/heads/packed-refs.new', oid]);
  await text(['update-ref', 'refs/heads/locker', oid]);
  const left = [
    'HEAD.lock',
    'packed-refs.lock',
    'packed-refs.new',
    'refs/heads/main.lock',
    'refs/heads/a/b.lock',
    'objects/tmp_objdir-incoming-AbCdEf/pack/tmp_pack_x',
    'objects/pack/tmp_idx_y',
    'objects/info/commit-graph.lock',
  ];
  for (const path of left) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), '');
  }

  const swept = await sweepQuarantine(directory);

  t.equal(swept.length, left.length);
  t.same(await sweepQuarantine(directory), []);
  t.equal(await readRef(directory, 'refs/heads/packed-refs.new'), oid);
  t.equal(await countRefs(directory), 2);
  await text(['fsck', '--strict']);
  rmSync(directory, { recursive: true });
  t.same(await sweepQuarantine(directory), [], 'nothing where no repository is');
});
