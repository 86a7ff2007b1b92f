import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { initBare } from '../../src/programs/bare.ts';
import { setHead } from '../../src/programs/files.ts';
import { isProtocol, openGit, versionIn } from '../../src/programs/git.ts';

t.test(
  'git runs in a clean environment with our configuration above the repository’s',
  async (t) => {
    process.env['GIT_DIR'] = '/somewhere';
    t.teardown(() => delete process.env['GIT_DIR']);
    const root = t.testdir({ home: { '.gitconfig': '[user]\n\tname = Wrong\n' } });
    const git = await openGit({ houseId: 'house-1', emptyHome: join(root, 'home') });
    const repo = join(root, 'a.git');
    await initBare(repo, { defaultBranch: 'main', repoId: 'id-1' });
    writeFileSync(
      join(repo, 'config'),
      '[core]\n\tbare = true\n\thooksPath = /evil\n[gc]\n\tauto = 9\n',
    );
    const get = async (key: string, config = {}): Promise<string> =>
      (await git.run(['config', '--get', key], { cwd: repo, config })).stdout.toString().trim();

    t.match(git.version, /^2\.\d+/);
    t.equal(await get('core.hooksPath'), '/dev/null');
    t.equal(await get('core.fsync'), 'committed');
    t.equal(await get('gc.auto'), '0');
    t.equal(await get('receive.fsck.zeroPaddedFilemode'), 'ignore');
    t.equal(await get('transfer.hideRefs'), 'refs/cpm');
    t.equal(await get('pack.window', { 'pack.window': '0' }), '0');
    t.equal(await get('user.name'), '', 'no configuration of a person');
  },
);

t.test('every git is marked with its house', async (t) => {
  const root = t.testdir({ home: {} });
  const git = await openGit({ houseId: 'house-2', emptyHome: join(root, 'home') });
  const repo = join(root, 'a.git');
  await initBare(repo, { defaultBranch: 'main', repoId: 'id-2' });
  const child = git.start(['cat-file', '--batch'], { cwd: repo, protocol: 'version=2' });
  const environment = readFileSync(`/proc/${child.pid}/environ`, 'latin1').split('\0');
  child.stdin.end();
  child.stdout.resume();
  child.stderr.resume();
  await child.exited;

  t.ok(environment.includes('CPM_HOUSE=house-2'));
  t.ok(environment.includes('GIT_PROTOCOL=version=2'));
  t.ok(environment.includes('GIT_NO_REPLACE_OBJECTS=1'));
  t.ok(environment.includes(`HOME=${join(root, 'home')}`));
  t.notOk(environment.some((entry) => entry.startsWith('USER=')));
});

t.test('only a GIT_PROTOCOL that git itself sends is passed on', (t) => {
  for (const good of ['version=0', 'version=1', 'version=2', 'version=2:object-format=sha1']) {
    t.ok(isProtocol(good), good);
  }
  for (const bad of [
    undefined,
    '',
    'version=3',
    'version=22',
    'version=2\n',
    'version=2:',
    'version=2:a=b;c',
    'x=1:version=2',
    ' version=2',
    `version=2:${'a'.repeat(200)}`,
  ]) {
    t.notOk(isProtocol(bad), `${bad}`);
  }
  t.end();
});

t.test('versions are read as git prints them', (t) => {
  t.same(versionIn('git version 2.39.5\n'), ['2.39.5', 2, 39]);
  t.same(versionIn('git version 2.50.1 (Apple Git-155)\n'), ['2.50.1', 2, 50]);
  t.same(versionIn('git version 3.0.0-rc1\n'), ['3.0.0-rc1', 3, 0]);
  t.same(versionIn('something'), ['of unknown version', 0, 0]);
  t.end();
});

t.test('a new repository is bare, ours, private, and good to git', async (t) => {
  const root = t.testdir({});
  const repo = join(root, 'acme', 'app.git');

  await initBare(repo, { defaultBranch: 'trunk', repoId: 'id-3' });

  const modes = everything(repo).map(([path, mode]) => `${path} ${mode.toString(8)}`);
  t.same(modes.sort(), [
    'HEAD 600',
    'config 600',
    'cpm-id 600',
    'objects 700',
    'objects/info 700',
    'objects/pack 700',
    'refs 700',
    'refs/heads 700',
    'refs/tags 700',
  ]);
  t.equal(statSync(repo).mode & 0o777, 0o700);
  t.equal(statSync(join(root, 'acme')).mode & 0o777, 0o700);
  t.equal(readFileSync(join(repo, 'cpm-id'), 'utf8'), 'id-3\n');
  t.equal(readFileSync(join(repo, 'HEAD'), 'utf8'), 'ref: refs/heads/trunk\n');
  const seen = spawnSync('git', ['-C', repo, 'rev-parse', '--is-bare-repository', '--git-dir']);
  t.equal(seen.stdout.toString(), 'true\n.\n');
  t.equal(spawnSync('git', ['-C', repo, 'fsck', '--strict']).status, 0);
});

t.test('where something is already, nothing is made and nothing is left behind', async (t) => {
  const root = t.testdir({ taken: { 'a file': 'x' }, file: 'y' });
  for (const name of ['taken', 'file']) {
    await t.rejects(initBare(join(root, name), { defaultBranch: 'main', repoId: 'x' }), {
      code: 'conflict',
    });
  }

  t.same(readdirSync(root).sort(), ['file', 'taken']);
  t.same(readdirSync(join(root, 'taken')), ['a file']);
});

t.test('S12 HEAD is set to a branch and to nothing else', async (t) => {
  const root = t.testdir({});
  const repo = join(root, 'a.git');
  await initBare(repo, { defaultBranch: 'main', repoId: 'x' });

  await setHead(repo, 'feature/x');
  for (const branch of ['../cpm/archive/x', 'a..b', '', 'x\nref: refs/cpm/y', 'a.lock']) {
    await t.rejects(setHead(repo, branch), { code: 'usage' }, branch);
  }
  t.equal(readFileSync(join(repo, 'HEAD'), 'utf8'), 'ref: refs/heads/feature/x\n');
});

t.test('a place that can’t be is a fault of the machine, not a conflict', async (t) => {
  const root = t.testdir({ plain: 'a file' });

  await t.rejects(initBare(join(root, 'plain', 'a.git'), { defaultBranch: 'main', repoId: 'x' }), {
    code: /ENOTDIR|EEXIST/,
  });
});

function everything(folder: string, under = ''): [string, number][] {
  return readdirSync(join(folder, under), { withFileTypes: true }).flatMap((entry) => {
    const path = join(under, entry.name);
    const own: [string, number] = [path, statSync(join(folder, path)).mode & 0o777];
    return entry.isDirectory() ? [own, ...everything(folder, path)] : [own];
  });
}
