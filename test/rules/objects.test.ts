import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { doorOf, json } from '../commands/scenario.ts';
import { appears } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { generateKey } from '../support/person.ts';
import { porcelain } from './play.ts';

const house = await House.open(t, { shares: true });
const { admin } = house;
const ana = await house.person('ana');
const bo = await house.person('bo');
const cy = await house.person('cy');
await house.operator('org create acme');
await house.operator('org member add acme ana --role owner');
await house.operator('org access grant acme bo write');
await house.operator('org access grant acme cy read');
const work = await ana.worktree();
const git = (...line: string[]) => ana.git(line, { cwd: work });
const bare = (repo: string) => join(house.dataDir, 'repositories', `${repo}.git`);
const scripts = join(house.dataDir, 'hooks.d');

async function repository(name: string, ...rules: string[]): Promise<string> {
  await admin.ssh(['init', `acme/${name}`]);
  await git('push', '-q', ana.url(`acme/${name}`), 'main', 'main:base');
  for (const rule of rules) {
    const added = await ana.ssh(`repo rules add acme/${name} ${rule}`);
    if (added.status !== 0) throw new Error(added.stderr);
  }
  return `acme/${name}`;
}

/** Words of git that have it sign with a private key. */
const signing = (key: string) => ['-c', 'gpg.format=ssh', '-c', `user.signingkey=${key}`];
let commits = 0;

/** A new commit upon main's first. @returns a branch that leads to it */
async function commit(key?: string, from = 'main'): Promise<string> {
  commits += 1;
  await git('checkout', '-q', '-b', `c${commits}`, from);
  const words = ['commit', '-q', '--allow-empty', '-m', `commit ${commits}`];
  const made = await git(...(key === undefined ? words : [...signing(key), ...words, '-S']));
  if (made.status !== 0) throw new Error(made.stderr);
  return `c${commits}`;
}

async function push(repo: string, ...refspecs: string[]) {
  const { stdout, stderr } = await git('push', '--porcelain', ana.url(repo), ...refspecs);
  const reasons = porcelain(stdout);
  return { of: (ref: string) => (reasons.has(ref) ? reasons.get(ref) : 'not told'), stderr };
}

const main = 'refs/heads/main';

t.test(
  'S13 signed: by a key of an active user with write, valid now, and by no other',
  async (t) => {
    const repo = await repository(
      'signed',
      'main --require signed',
      'refs/tags/** --require signed',
    );
    const rule = /: refused by rule 1 of acme\/signed \(signed commits only\)/;
    const stranger = await generateKey(join(house.folder, 'stranger'));

    const cases: [string, string, RegExp | undefined][] = [
      ['unsigned', await commit(), /^commit [0-9a-f]{7} carries no SSH signature/],
      [
        'by a stranger',
        await commit(stranger.privatePath),
        /is signed by SHA256:\S+, which is no key/,
      ],
      [
        'by who may only read',
        await commit(cy.key.privatePath),
        /a key of cy, who may not write here/,
      ],
      ['by who may write, whoever pushes', await commit(bo.key.privatePath), undefined],
    ];
    for (const [name, branch, why] of cases) {
      const { of, stderr } = await push(repo, `+${branch}:${main}`);
      if (why === undefined) t.equal(of(main), undefined, name);
      else {
        t.match(of(main), new RegExp(why.source + (name === 'unsigned' ? rule.source : '')), name);
        t.match(stderr, /hint: sign with a key/, name);
      }
    }
    t.same(
      readdirSync(join(bare(repo), 'objects')).filter((name) => name.startsWith('tmp_')),
      [],
      'no quarantine is left',
    );
  },
);

t.test(
  'S13 signed: each new commit and tag, whatever refs have it outside of the rule',
  async (t) => {
    const repo = await repository('each', 'main --require signed', 'refs/tags/** --require signed');
    const key = ana.key.privatePath;
    const unsigned = await commit();
    const behind = await commit(key, unsigned);
    const good = await commit(key);

    t.match(
      (await push(repo, `${behind}:${main}`)).of(main),
      /no SSH signature/,
      'one below the tip',
    );
    t.equal((await push(repo, `${behind}:refs/heads/free`)).of('refs/heads/free'), undefined);
    t.match(
      (await push(repo, `${behind}:${main}`)).of(main),
      /no SSH signature/,
      'that it came in elsewhere makes it no better',
    );
    await git('tag', '-a', '-m', 'plain', 'plain', good);
    await git(...signing(key), 'tag', '-s', '-m', 'signed', 'signed', good);
    await git(...signing(key), 'tag', '-s', '-m', 'outer', 'outer', 'plain');
    await git('tag', 'blob', await blobOf('x'));
    const { of } = await push(
      repo,
      `${good}:${main}`,
      ...['plain', 'signed', 'outer', 'blob'].map((tag) => `refs/tags/${tag}`),
      `${unsigned}:refs/heads/also-free`,
    );
    t.equal(of(main), undefined);
    t.equal(of('refs/heads/also-free'), undefined);
    t.equal(of('refs/tags/signed'), undefined);
    t.match(of('refs/tags/plain'), /^tag [0-9a-f]{7} carries no SSH signature: refused by rule 2/);
    t.match(of('refs/tags/outer'), /^tag [0-9a-f]{7} carries no SSH signature/, 'a tag of a tag');
    t.match(of('refs/tags/blob'), /is neither a commit nor a tag/);

    const forged = (await git('cat-file', 'commit', good)).stdout.replace('commit ', 'forged ');
    writeFileSync(join(work, 'forged'), forged);
    const oid = (await git('hash-object', '-t', 'commit', '-w', 'forged')).stdout.trim();
    t.match((await push(repo, `+${oid}:${main}`)).of(main), /its signature does not fit/);
  },
);

async function blobOf(text: string): Promise<string> {
  writeFileSync(join(work, 'blob'), text);
  return (await git('hash-object', '-w', 'blob')).stdout.trim();
}

t.test(
  'S13 signed: other kinds of key count too; one that ended, or was for something else, does not',
  async (t) => {
    const repo = await repository('kinds', '** --require signed');
    for (const type of ['ecdsa', 'rsa'] as const) {
      const key = await generateKey(join(house.folder, type), type);
      await house.operator(['sshkey', 'add', key.publicPath, '--user', 'bo']);
      const branch = await commit(key.privatePath);
      t.equal((await push(repo, `+${branch}:${main}`)).of(main), undefined, type);
      if (type === 'rsa') await house.operator(`sshkey revoke ${key.fingerprint} --user bo --yes`);
      const later = await commit(key.privatePath);
      const { of } = await push(repo, `+${later}:${main}`);
      if (type === 'rsa') t.match(of(main), /which is no key in force/, 'revoked');
      else t.equal(of(main), undefined);
    }
    const branch = await commit(bo.key.privatePath);
    await house.operator('user disable bo');
    t.match((await push(repo, `+${branch}:${main}`)).of(main), /bo, who may not write here/);
    await house.operator('user enable bo');
    t.equal((await push(repo, `+${branch}:${main}`)).of(main), undefined);
  },
);

t.test(
  'S13 a merge of ours is refused where signatures are asked for, unless it only moves forward',
  async (t) => {
    const repo = await repository('merged', 'main --require signed');
    const key = ana.key.privatePath;
    await push(
      repo,
      `${await commit(key)}:refs/heads/forward`,
      `${await commit()}:refs/heads/plain`,
    );

    t.match(await bo.ssh(`merge ${repo} plain --into main`), {
      status: 4,
      stderr: /carries no SSH signature: refused by rule 1/,
    });
    t.match(await bo.ssh(`merge ${repo} forward --into main`), { status: 0 });
    await push(repo, `${await commit(key)}:refs/heads/aside`);
    t.match(await bo.ssh(`merge ${repo} aside --into main`), {
      status: 4,
      stderr: /no SSH signature/,
    });
  },
);

t.test(
  'max-file: a larger new file is refused by its path, what is there already stays',
  async (t) => {
    await git('checkout', '-q', '-b', 'files', 'main');
    const add = async (path: string, size: number) => {
      writeFileSync(join(work, path), Buffer.alloc(size, path));
      await git('add', path);
      await git('commit', '-q', '-m', path);
    };
    await add('old', 5000);
    const repo = await repository('files');
    await push(repo, `files:${main}`);
    await ana.ssh(`repo rules add ${repo} main --max-file 4K`);
    await add('fits', 4096);
    t.equal((await push(repo, `files:${main}`)).of(main), undefined, 'just as large as may be');
    await add('big\u001b[31m', 4097);
    await add('later', 1);

    const { of, stderr } = await push(repo, `files:${main}`, 'files:refs/heads/free');

    t.match(
      of(main),
      /^"big\\x1b\[31m" is 4\.0 KB: refused by rule 1 of acme\/files \(no file over 4\.0 KB\)/,
    );
    t.equal(of('refs/heads/free'), undefined, 'it is free to be elsewhere');
    t.match(stderr, /hint: take it out of the commits that bring it/);
    t.match((await push(repo, `files:${main}`)).of(main), /refused by rule 1/, 'also from there');
  },
);

/** A script in hooks.d, gone at the end of the test. */
function script(t: Test, name: string, text: string, mode = 0o755): void {
  const path = join(scripts, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, mode);
  t.teardown(() => rmSync(path, { force: true }));
}

t.test(
  'scripts in hooks.d are asked in their order, in a clean environment, and one refuses for all',
  async (t) => {
    const repo = await repository('hooks');
    const seen = join(house.folder, 'seen');
    script(
      t,
      '10-note',
      `{ env; cat; pwd; git cat-file -t "$(git rev-list --all | head -1)"; } > ${seen}`,
    );
    script(t, '20-say', `printf 'hello \\033[31mred\\n'; echo careful >&2`);
    script(t, 'not-run', 'exit 1', 0o644);
    script(t, '.hidden', 'exit 1');
    const branch = await commit();
    const oid = (await git('rev-parse', branch)).stdout.trim();

    const done = await push(repo, `${branch}:${main}`, ':base');

    t.equal(done.of(main), undefined);
    t.equal(done.of('refs/heads/base'), undefined);
    t.match(done.stderr, /remote: hello \\x1b\[31mred\s+remote: careful/);
    const said = readFileSync(seen, 'utf8');
    const names = [...said.matchAll(/^([A-Z_a-z]\w*)=/gm)].map(([, name]) => name);
    const variables = 'CPM_ACTION CPM_KEY CPM_PRINCIPAL CPM_REPO CPM_REPO_ID CPM_REQUEST CPM_USER';
    const own = names.filter((name) => name?.startsWith('CPM_') && name !== 'CPM_HOUSE').sort();
    t.strictSame(own, variables.split(' '));
    for (const line of [
      'CPM_ACTION=git-receive-pack',
      `CPM_KEY=${ana.key.fingerprint}`,
      'CPM_PRINCIPAL=user:ana',
      `CPM_REPO=${repo}`,
      'CPM_USER=ana',
      `GIT_DIR=${bare(repo)}`,
      `${bare(repo)}`,
      'PATH=/usr/bin:/bin',
    ])
      t.ok(said.split('\n').includes(line), line);
    t.match(said, new RegExp(`^GIT_QUARANTINE_PATH=${bare(repo)}/objects/tmp_objdir-`, 'm'));
    t.match(said, new RegExp(`^[0-9a-f]{40} ${oid} ${main}$`, 'm'));
    t.notMatch(said, /SSH_|NODE_|CPM_DATA_DIR|CPM_NONCE/);

    script(t, '30-no', 'echo not today; exit 3');
    const next = await commit(undefined, branch);
    const refused = await push(repo, `${next}:${main}`, `${next}:refs/heads/more`);
    for (const ref of [main, 'refs/heads/more'])
      t.equal(refused.of(ref), 'refused by hooks.d/30-no: it ended with 3', ref);
    t.match(refused.stderr, /remote: not today/);
    t.match((await push(repo, ':topic')).of('refs/heads/topic'), /hooks\.d\/30-no|not told/);
    await push(repo, `${branch}:refs/heads/x`);
    t.match(await bo.ssh(`merge ${repo} base --into main`), { status: 3 });
  },
);

t.test(
  'a script is asked about a deletion and a merge too, and gets no ref past its own word',
  async (t) => {
    const repo = await repository('more-hooks');
    await push(repo, `${await commit()}:refs/heads/topic`);
    script(
      t,
      'no',
      '[ "$CPM_ACTION" = merge ] && exit 1; read -r old new ref; [ "$ref" != refs/heads/base ]',
    );

    t.match((await push(repo, ':base')).of('refs/heads/base'), /hooks\.d\/no: it ended with 1/);
    t.match(await bo.ssh(`merge ${repo} topic`), { status: 4, stderr: /refused by hooks\.d\/no/ });
    t.match(await bo.ssh(`merge ${repo} topic --dry-run`), { status: 0 }, 'not asked in a dry run');
    t.equal((await push(repo, ':topic')).of('refs/heads/topic'), undefined);
  },
);

t.test('a server that dies while a script runs has changed nothing', async (t) => {
  const repo = await repository('crash');
  const begun = join(house.folder, 'begun');
  script(t, 'slow', `: > ${begun}; sleep 60`);
  const branch = await commit();
  const tip = (await git('ls-remote', ana.url(repo), 'main')).stdout;
  const pushing = push(repo, `${branch}:${main}`);
  await appears(begun);

  await house.kill();
  await pushing;
  rmSync(join(scripts, 'slow'));
  await house.restart();

  t.equal((await git('ls-remote', ana.url(repo), 'main')).stdout, tip);
  t.same(readdirSync(join(house.dataDir, 'incoming')), []);
  t.equal(
    (await push(repo, `${branch}:${main}`)).of(main),
    undefined,
    'the next push goes through',
  );
});

t.test('a script that moves refs or can not be run refuses, and shows no path', async (t) => {
  const repo = await repository('bad-hooks');
  script(
    t,
    'a',
    `git update-ref refs/heads/evil ${(await git('rev-parse', 'main')).stdout.trim()}`,
  );
  const branch = await commit();
  t.match((await push(repo, `${branch}:${main}`)).of(main), /hooks\.d\/a: it ended with 128/);
  rmSync(join(scripts, 'a'));
  script(t, 'b', '');
  writeFileSync(join(scripts, 'b'), '#!/no/such/interpreter\n');
  const { of, stderr } = await push(repo, `${branch}:${main}`);
  t.match(of(main), /refused by hooks\.d\/b/);
  t.notMatch(`${of(main)}${stderr}`, house.dataDir);
  rmSync(join(scripts, 'b'));
  t.equal((await push(repo, `${branch}:${main}`)).of(main), undefined);
  t.match(await json(doorOf(ana), `show ${repo}`), { refs: [{}, {}] });
  t.same(readdirSync(join(house.dataDir, 'incoming')), [], 'nothing is left of the hooks');
});
