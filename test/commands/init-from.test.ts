import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import { must } from '../support/process.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t, { config: 'limits:\n  pack_size: 100K\n' });
const ana = await house.person('ana');
const operator = { run: house.operator.bind(house) };
const env = ana.gitEnv();
const source = join(house.folder, 'source.git');
const work = await ana.worktree();
const git = async (...line: string[]) =>
  (await must('git', line, { cwd: work, env })).stdout.trim();

await git('tag', '-a', '-m', 'one', 'v1');
await git('branch', 'trunk');
await git('commit', '-q', '--allow-empty', '-m', 'second');
await git('notes', 'add', '-m', 'noted');
await must('git', ['clone', '-q', '--mirror', work, source], { env });
for (const ref of [`refs/replace/${'01'.repeat(20)}`, 'refs/pull/1/head', 'refs/cpm/archive/x'])
  execFileSync('git', ['update-ref', ref, 'trunk'], { cwd: source });
execFileSync('git', ['symbolic-ref', 'HEAD', 'refs/heads/trunk'], { cwd: source });
execFileSync('git', ['config', 'core.alternateRefsCommand', 'touch /tmp/never'], { cwd: source });
mkdirSync(join(source, 'hooks'), { recursive: true });
writeFileSync(join(source, 'hooks/post-update'), '#!/bin/sh\n', { mode: 0o755 });
const bundle = execFileSync('git', ['bundle', 'create', '-q', '-', '--all'], { cwd: work });
const wanted = ['refs/heads/main', 'refs/heads/trunk', 'refs/notes/commits', 'refs/tags/v1'];

interface Shown {
  id: string;
  default_branch: string;
  refs: { name: string; oid: string }[];
}
const shown = async (repo: string) => (await json(operator, `show ${repo}`)) as Shown;

t.test(
  'a local repository comes in with branches, tags, notes and its HEAD, and nothing else',
  async (t) => {
    const answer = await house.operator(words('init ana/copy --from source.git --json'));
    t.equal(answer.status, 0, answer.stderr);
    t.equal(answer.stderr, '4 refs came in\n');

    const copy = await shown('ana/copy');
    t.match(JSON.parse(answer.stdout), { changed: true, id: copy.id, name: 'ana/copy' });
    t.equal(copy.default_branch, 'trunk');
    t.strictSame(
      copy.refs.map(({ name }) => name),
      wanted,
    );
    t.equal(copy.refs[0]?.oid, await git('rev-parse', 'main'));
    const directory = join(house.dataDir, 'repositories/ana/copy.git');
    t.strictSame(readdirSync(directory).sort(), ['HEAD', 'config', 'cpm-id', 'objects', 'refs']);
    t.notMatch(readFileSync(join(directory, 'config'), 'utf8'), /alternate/);
    t.strictSame(readdirSync(join(house.dataDir, 'incoming')), []);
    t.match(await ana.git(['clone', '-q', ana.url('copy'), 'copy']), { status: 0 });
    t.match(await ana.git(['push', '-q', ana.url('copy'), 'main:more'], { cwd: work }), {
      status: 0,
    });
    t.match(await house.operator('repo verify ana/copy'), { status: 0 });
  },
);

t.test('S14 alternates of a local repository are not copied, only their objects', async (t) => {
  await must('git', ['clone', '-q', '--shared', '--bare', source, `${house.folder}/thin.git`], {
    env,
  });
  t.match(await json(operator, 'init ana/thick --from thin.git'), { changed: true });
  const objects = join(house.dataDir, 'repositories/ana/thick.git/objects');
  t.notOk(existsSync(join(objects, 'info/alternates')));
  t.match(await house.operator('repo verify ana/thick'), { status: 0 });
});

for (const [name, door] of [
  ['ssh', doorOf(ana)],
  ['local', operator],
] as const) {
  t.test(`${name}: a bundle on standard input becomes a repository`, async (t) => {
    const repo = `ana/bundle-${name}`;
    t.match(await json(door, `init ${repo} --from - --visibility internal`, { stdin: bundle }), {
      changed: true,
    });
    t.match(await shown(repo), { default_branch: 'main', visibility: 'internal' });
    t.strictSame(
      (await shown(repo)).refs.map((ref) => ref.name),
      wanted,
    );
    t.match(
      await door.run(words(`init ${repo} --from -`), { stdin: bundle }),
      refused(5, /exists already/),
    );
    t.match(await json(door, `init ${repo} --from - --exist-ok`, { stdin: bundle }), {
      changed: false,
    });
    const trunk = `init ${repo}-trunk --from - --default-branch trunk`;
    t.match(await json(door, `${trunk} --dry-run`, { stdin: bundle }), { changed: true });
    t.match(await json(door, trunk, { stdin: bundle }), { changed: true });
    t.match(await shown(`${repo}-trunk`), { default_branch: 'trunk' });
  });

  t.test(`${name}: what is no sound bundle leaves nothing`, async (t) => {
    const partial = execFileSync('git', ['bundle', 'create', '-q', '-', 'main~1..main'], {
      cwd: work,
    });
    const big = Buffer.concat([bundle, Buffer.alloc(200_000)]);
    const header = bundle.subarray(0, bundle.indexOf('\n\n') + 2);
    const cases: [string, string | Buffer, number, RegExp][] = [
      ['an empty one', '', 2, /no git bundle/],
      ['another thing', 'hello\n', 2, /no git bundle/],
      [
        'sha256',
        header.toString().replace('# v2', '# v3').replace('\n', '\n@object-format=sha256\n'),
        2,
        /no git bundle/,
      ],
      ['one that builds on others', partial, 2, /builds on commits that it does not hold/],
      ['half of one', bundle.subarray(0, bundle.length - 30), 2, /can't be read/],
      ['one without objects', header, 2, /can't be read/],
      ['too big a one', big, 6, /limits\.pack_size/],
      ['one of bad objects', hostileBundle(), 7, /not sound: .*hasDotgit/],
    ];
    for (const [what, stdin, status, why] of cases) {
      const answer = await door.run(words(`init ana/bad-${name} --from -`), { stdin });
      t.match(answer, refused(status, why), what);
      t.notMatch(answer.stderr, house.dataDir, 'no path of the server');
    }
    t.match(
      await door.run(words(`init ana/bad-${name} --from - --default-branch nosuch`), {
        stdin: bundle,
      }),
      refused(3, /no branch nosuch/),
    );
    t.match(await door.run(words(`show ana/bad-${name}`)), { status: 3 });
    t.strictSame(readdirSync(join(house.dataDir, 'incoming')), []);
  });
}

/** A bundle whose tree has a folder called .git. */
function hostileBundle(): Buffer {
  const cwd = join(house.folder, `hostile-${crypto.randomUUID()}`);
  const run = (line: string[], input = '') =>
    execFileSync('git', line, { cwd, input, env: { ...process.env, ...env } })
      .toString()
      .trim();
  mkdirSync(cwd);
  run(['init', '-q']);
  const blob = run(['hash-object', '-w', '--stdin'], 'x');
  const inner = run(['mktree'], `100644 blob ${blob}\tconfig\n`);
  const tree = run(['mktree'], `040000 tree ${inner}\t.git\n`);
  run(['update-ref', 'refs/heads/main', run(['commit-tree', '-m', 'x', tree])]);
  return execFileSync('git', ['bundle', 'create', '-q', '-', '--all'], { cwd });
}

t.test("S8 a local path is the operator's alone, and must be a repository", async (t) => {
  t.match(await ana.ssh('init theirs --from /etc'), refused(2, /can only be "-"/));
  t.match(await ana.ssh(['init', 'theirs', `--from=${source}`]), refused(2, /can only be "-"/));
  t.match(await ana.ssh('init ada/theirs --from -', { stdin: bundle }), { status: 4 });
  const cases: [string, RegExp][] = [
    ['nosuch', /"nosuch" is no directory/],
    ['config.yaml', /is no directory/],
    ['ana', /can't be read/],
    ['ext::sh', /is no directory/],
  ];
  for (const [from, why] of cases)
    t.match(await house.operator(['init', 'ana/no', '--from', from]), refused(2, why), from);
  mkdirSync(join(house.folder, 'empty'));
  execFileSync('git', ['init', '-q', '--bare', join(house.folder, 'empty')]);
  t.match(await json(operator, 'init ana/empty --from empty --default-branch trunk'), {
    changed: true,
  });
  t.match(await shown('ana/empty'), { refs: [], default_branch: 'trunk' });
});
