import { chmodSync, mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openGit } from '../../src/programs/git.ts';
import { type MergedTree, mergeTrees } from '../../src/programs/merge-tree.ts';
import { closeScratch, openScratch } from '../../src/programs/scratch.ts';
import { must } from '../support/process.ts';

const env = {
  GIT_AUTHOR_NAME: 'bo',
  GIT_AUTHOR_EMAIL: 'bo@example.org',
  GIT_COMMITTER_NAME: 'bo',
  GIT_COMMITTER_EMAIL: 'bo@example.org',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
};
const top = t.testdir({ home: {}, 'a "work":tree': {} });
// Quotes and a colon, which lists of object directories give a meaning.
const cwd = join(top, 'a "work":tree');
const git = await openGit({ houseId: 'merge-tree-test', emptyHome: join(top, 'home') });
const run = async (...args: string[]) => (await must('git', args, { cwd, env })).stdout.trim();
const write = (path: string, text: string) => writeFileSync(join(cwd, path), text);
const lines = (mark: string) =>
  Array.from({ length: 20 }, (_, at) => `${at === 10 ? mark : at}\n`).join('');
const gitlink = (digit: string) =>
  run('update-index', '--add', '--cacheinfo', `160000,${digit.repeat(40)},module`);

async function commit(message: string): Promise<string> {
  await run('commit', '-q', '--allow-empty', '-m', message);
  return run('rev-parse', 'HEAD');
}

async function merge(ours: string, theirs: string): Promise<MergedTree> {
  const { signal } = new AbortController();
  const scratch = await openScratch(top, { directory: join(cwd, '.git'), signal });
  try {
    return await mergeTrees(git, scratch, { ours, theirs });
  } finally {
    await closeScratch(scratch);
  }
}

t.test('each conflict is told with its path and its kind, in git’s own words', async (t) => {
  await run('init', '-q', '-b', 'main');
  for (const file of ['content', 'gone', 'kept', 'moved', 'moved-away', 'quiet'])
    write(file, `${file}\n${lines('base')}`);
  write('binary', '\0base');
  write('way', 'a file\n');
  write('kind', `kind\n${lines('base')}`);
  await run('add', '-A');
  await gitlink('1');
  const base = await commit('base');

  write('content', `content\n${lines('ours')}`);
  write('both', 'ours\n');
  write('binary', '\0ours');
  rmSync(join(cwd, 'gone'));
  write('kept', `kept\n${lines('ours')}`);
  renameSync(join(cwd, 'moved'), join(cwd, 'moved-by-us'));
  renameSync(join(cwd, 'moved-away'), join(cwd, 'moved-away-by-us'));
  rmSync(join(cwd, 'way'));
  mkdirSync(join(cwd, 'way'));
  write('way/in', 'a folder\n');
  write('kind', `kind\n${lines('ours')}`);
  write('new\nline \u001b[2J', 'ours\n');
  chmodSync(join(cwd, 'quiet'), 0o755);
  await run('add', '-A');
  await gitlink('2');
  const ours = await commit('ours');

  await run('checkout', '-q', '-f', base);
  write('content', `content\n${lines('theirs')}`);
  write('both', 'theirs\n');
  write('binary', '\0theirs');
  write('gone', `gone\n${lines('theirs')}`);
  rmSync(join(cwd, 'kept'));
  renameSync(join(cwd, 'moved'), join(cwd, 'moved-by-them'));
  rmSync(join(cwd, 'moved-away'));
  write('way', 'another file\n');
  rmSync(join(cwd, 'kind'));
  symlinkSync('content', join(cwd, 'kind'));
  write('new\nline \u001b[2J', 'theirs\n');
  await run('add', '-A');
  await gitlink('3');
  const theirs = await commit('theirs');

  const { conflicts = [] } = await merge(ours, theirs);
  t.strictSame(
    conflicts.map(({ path, kind }) => `${path}: ${kind}`),
    [
      'binary: binary',
      'both: add/add',
      'content: content',
      'gone: modify/delete',
      'kept: modify/delete',
      'kind: distinct types',
      'module: submodule',
      'moved: rename/rename',
      'moved-away-by-us: rename/delete',
      'moved-by-them: rename/rename',
      'moved-by-us: rename/rename',
      'new\nline \u001b[2J: add/add',
      'way: file/directory',
    ],
  );
});

t.test('criss-cross histories merge by an ancestor made of both', async (t) => {
  await run('checkout', '-q', '-f', '--orphan', 'one');
  await run('rm', '-rfq', '.');
  write('file', lines('base'));
  await run('add', '-A');
  const base = await commit('base');
  write('file', lines('base').replace('2\n', 'two\n'));
  await run('add', '-A');
  const one = await commit('one');
  await run('checkout', '-q', '-b', 'other', base);
  write('file', lines('base').replace('17\n', 'seventeen\n'));
  await run('add', '-A');
  const other = await commit('other');
  await run('merge', '-q', '--no-edit', one);
  write('file', `${lines('base').replace('2\n', 'two\n').replace('17\n', 'seventeen\n')}end\n`);
  await run('add', '-A');
  const theirs = await commit('theirs');
  await run('checkout', '-q', 'one');
  await run('merge', '-q', '--no-edit', other);
  const ours = await run('rev-parse', 'HEAD');
  t.equal((await run('merge-base', '--all', ours, theirs)).split('\n').length, 2);

  const { tree } = await merge(ours, theirs);

  t.equal(tree, await run('rev-parse', `${theirs}^{tree}`));
});

t.test('a merge that git can not do is a fault, not a conflict', async (t) => {
  await t.rejects(merge('0'.repeat(40), 'HEAD'), /git merge-tree ended with 1?\d+/);
});

t.test('conflicts in more paths than anybody reads are told as one', async (t) => {
  const many = (text: string) => `blob\nmark :1\ndata ${text.length}\n${text}\n`;
  const long = 'p'.repeat(3000);
  const files = Array.from({ length: 600 }, (_, at) => `M 100644 :1 ${at}/${long}\n`).join('');
  const history = (ref: string, text: string, from: string) =>
    `${many(text)}commit ${ref}\ncommitter bo <bo@x> 1 +0000\ndata 1\nx\n${from}${files}\n`;
  const input = [
    history('refs/heads/m0', 'base', ''),
    history('refs/heads/m1', 'ours', 'from refs/heads/m0\n'),
    'reset refs/heads/m2\nfrom refs/heads/m0\n\n',
    history('refs/heads/m2', 'theirs', ''),
  ].join('');
  await must('git', ['fast-import', '--quiet'], { cwd, env, stdin: input });

  await t.rejects(merge(await run('rev-parse', 'm1'), await run('rev-parse', 'm2')), {
    code: 'conflict',
    message: 'the two conflict in more paths than can be told',
  });
});
