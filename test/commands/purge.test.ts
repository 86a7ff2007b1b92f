import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { House } from '../support/house.ts';
import { quoteWords } from '../support/person.ts';
import { must } from '../support/process.ts';
import { doorOf, json, refused } from './scenario.ts';

const house = await House.open(t, { shares: true });
const { admin } = house;
const ana = await house.person('ana');
const work = await admin.worktree();

const git = async (...words: string[]) =>
  (await must('git', words, { cwd: work, env: admin.gitEnv() })).stdout.trim();

async function commit(file: string, text: string): Promise<string> {
  writeFileSync(join(work, file), text);
  await git('add', '.');
  await git('commit', '-q', '-m', file);
  return git('rev-parse', 'HEAD');
}

const base = await git('rev-parse', 'HEAD');
const before = await commit('plan', 'harmless');
const leak = await commit('password', 'hunter2-hunter2');
const after = await commit('more', 'on top');
const secret = await git('rev-parse', `${leak}:password`);

/** A repository whose main went up to a leaked secret and was forced back to where it began. */
async function leaked(name: string) {
  const repo = `ada/${name}`;
  const url = admin.url(repo);
  await git('push', '-q', url, `${after}:refs/heads/main`);
  await git('push', '-q', url, `+${base}:refs/heads/main`);
  await house.operator(`repo access grant ${repo} ana admin`);
  return { repo, url, directory: join(house.dataDir, 'repositories', `${repo}.git`) };
}

async function has(directory: string, oid: string): Promise<boolean> {
  return must('git', ['cat-file', '-e', oid], { cwd: directory }).then(
    () => true,
    () => false,
  );
}

async function mayFetch(t: Test, url: string, oid: string): Promise<boolean> {
  const folder = t.testdir({});
  await must('git', ['init', '-q'], { cwd: folder, env: admin.gitEnv() });
  return (await admin.git(['fetch', '-q', url, oid], { cwd: folder })).status === 0;
}

const purge = (line: string) => json(doorOf(admin), `repo history ${line}`);

t.test('a leaked secret is removed for good; what came before it stays', async (t) => {
  const { repo, url, directory } = await leaked('app');
  await git('push', '-q', url, `${after}:refs/heads/topic`, `${leak}:refs/tags/v1`);
  const ssh = quoteWords(['ssh', ...admin.sshOptions(), '-p', String(house.port)]);
  const copy = join(admin.home, 'copy.git');
  await must('rsync', ['-a', '-e', ssh, `cpm@127.0.0.1:${repo}.git/`, copy], { env: {} });
  const { id } = (await json(doorOf(admin), `show ${repo}`)) as { id: string };
  const kept = join(house.dataDir, 'run/rsync', id);
  const leftover = join(
    house.dataDir,
    'incoming',
    `sync-in-${crypto.randomUUID()}-${id}-${'a'.repeat(32)}`,
  );
  mkdirSync(leftover);
  t.ok(existsSync(kept), 'a copy is kept for whoever fetches it so');

  t.match(
    await admin.ssh(`repo history ${repo} --purge ${leak} --yes`),
    refused(5, /topic, refs\/tags\/v1 still has/, /delete it first/),
  );
  await git('push', '-q', url, ':refs/heads/topic', ':refs/tags/v1');
  t.match(await admin.ssh(`repo history ${repo} --purge ${leak}`), refused(2, /needs --yes/));
  t.match(
    await ana.ssh(`repo history ${repo} --purge ${leak} --yes`),
    refused(4, /not act as its owner/),
  );
  t.match(await purge(`${repo} --purge ${leak} --dry-run`), { changed: true, commits: 2 });
  t.ok(await mayFetch(t, url, after), 'a dry run removes nothing');

  t.match(await purge(`${repo} --purge ${leak} --yes`), { changed: true, oid: leak, commits: 2 });

  for (const oid of [leak, after, secret]) t.notOk(await has(directory, oid), oid);
  for (const oid of [base, before]) t.ok(await has(directory, oid), oid);
  t.notOk(await mayFetch(t, url, leak));
  t.ok(await mayFetch(t, url, before), 'an innocent commit is kept');
  await must('git', ['fsck', '--strict', '--full'], { cwd: directory });
  t.notOk(existsSync(kept) || existsSync(leftover), 'no copy has it either');
  const rows = (await json(doorOf(ana), `repo history ${repo} main`)) as { oid: string }[];
  t.match(rows, [{ oid: base }, { oid: after, purged: true }]);
  t.match(
    await admin.ssh(`repo undo ${repo} main --yes`),
    refused(3, /is not kept any more/, /purged/),
  );
  t.match(await purge(`${repo} --purge ${leak} --yes`), { changed: false });
  const audit = await json(doorOf(admin), `audit list --repo ${repo} --limit 300`);
  t.match(
    (audit as { action: string; outcome: string }[]).filter(
      ({ action, outcome }) => action === 'repo history --purge' && outcome === 'ok',
    ),
    [{}, { detail: { purged: leak, commits: 2 } }, {}],
  );
});

t.test('a file is purged by its own id, out of packs too', async (t) => {
  const { repo, url, directory } = await leaked('packed');
  await must('git', ['repack', '-a', '-d', '-q'], { cwd: directory });

  t.match(await purge(`${repo} --purge ${secret.slice(0, 12)} --yes`), { oid: secret, commits: 2 });

  t.notOk(await has(directory, secret));
  t.ok(await mayFetch(t, url, before));
  t.equal(
    readdirSync(join(directory, 'objects/pack')).filter((name) => name.endsWith('.pack')).length,
    1,
  );
});

t.test('what is not there, or kept by somebody, is told', async (t) => {
  const { repo, directory } = await leaked('odd');
  const never = 'a'.repeat(40);

  t.match(await admin.ssh(`repo history ${repo} --purge ${never} --yes`), refused(3, /no object/));
  t.match(
    await admin.ssh(`repo history ${repo} --purge main --yes`),
    refused(2, /not an object id/),
  );
  t.match(
    await admin.ssh(`repo history ${repo} main --purge ${leak} --yes`),
    refused(2, /leave REF/),
  );
  // Words come before rights: nobody is told of a repository by them.
  t.match(
    await admin.ssh(`repo history ana/nosuch main --purge ${leak} --yes`),
    refused(2, /leave REF/),
  );
  writeFileSync(join(directory, 'objects/pack/pack-1.keep'), 'mine\n');
  t.match(await admin.ssh(`repo history ${repo} --purge ${leak} --yes`), refused(5, /to be kept/));
  t.ok(await has(directory, leak));
});

t.test('a deleted repository of the same name does not keep it in secret', async (t) => {
  const first = await leaked('again');
  await house.operator(`repo delete ${first.repo} --yes`);
  const { repo, directory } = await leaked('again');

  t.match(
    await admin.ssh(`repo history ${repo} --purge ${leak} --yes`),
    refused(5, /a deleted ada\/again has/, /trash empty/),
  );
  await house.operator(`repo trash empty ${repo} --yes`);
  t.match(await purge(`${repo} --purge ${leak} --yes`), { changed: true });
  t.notOk(await has(directory, secret));
});
