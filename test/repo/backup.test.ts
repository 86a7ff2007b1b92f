import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';
import { serve } from '../support/serve.ts';

const house = await House.open(t);
const ana = await house.person('ana');
await house.admin.ssh('org create acme');
for (const name of ['app', 'empty', 'old']) await house.admin.ssh(`init acme/${name}`);
await house.admin.ssh('repo access grant acme/app ana write');
const work = await house.admin.worktree();
const git = (words: string) => house.admin.git(words, { cwd: work });
await git(`push -q ${house.admin.url('acme/app')} main`);
await git(`push -q ${house.admin.url('acme/old')} main`);
await house.admin.ssh('repo delete acme/old --yes');
await git('commit -q --amend --allow-empty -m other');
await git(`push -q -f ${house.admin.url('acme/app')} main`);

const place = (name: string) => join(house.folder, name);
const ask = async (words: string, { stdin = '', dataDir = house.dataDir } = {}) => {
  const env = { CPM_DATA_DIR: dataDir };
  const { status, stdout, stderr } = await house.command(`${words} --json`, { stdin, env });
  return { status, stderr, said: stdout === '' ? undefined : JSON.parse(stdout) };
};
const refs = async (dataDir: string) => {
  const path = join(dataDir, 'repositories/acme/app.git');
  return (await must('git', ['-C', path, 'for-each-ref'])).stdout;
};

/** A server on a restored data directory. @returns its port */
async function serveAt(dataDir: string): Promise<number> {
  const env = { HOME: place('home'), CPM_DATA_DIR: dataDir };
  const server = serve(t, { env });
  const [, port] = await server.says(/listening on ssh:\/\/127\.0\.0\.1:(\d+)/);
  return Number(port);
}

const at = (person: Person, port: number, words: string) =>
  person.ssh(words, { options: ['-p', String(port)] });

t.test('S30 a backup is made while pushes go on, for the operator alone', async (t) => {
  const pushes = (async () => {
    for (let nth = 0; nth < 6; nth += 1) {
      await git(`commit -q --allow-empty -m ${nth}`);
      await git(`push -q ${house.admin.url('acme/app')} main main:b${nth}`);
    }
  })();

  const made = await ask(`backup create ${place('one')}`);
  await pushes;

  t.match(made, { status: 0, said: { changed: true, repositories: 3, with_keys: false } });
  for (const entry of readdirSync(place('one'), { recursive: true, withFileTypes: true })) {
    const { mode } = statSync(join(entry.parentPath, entry.name));
    t.equal(mode & 0o077, entry.name.endsWith('.pub') ? mode & 0o044 : 0, entry.name);
  }
  t.equal(statSync(place('one')).mode & 0o777, 0o700);
  t.match(await ask(`backup verify ${place('one')}`), {
    status: 0,
    said: { ok: true, faults: [] },
  });
});

t.test('S31 private keys are not in a backup, unless encrypted', async (t) => {
  const { status } = await ask(`backup create ${place('keyed')} --with-keys`, { stdin: 'horse\n' });

  t.equal(status, 0);
  for (const folder of ['one', 'keyed']) {
    const files = readdirSync(place(folder), { recursive: true, withFileTypes: true });
    for (const entry of files.filter((each) => each.isFile())) {
      const text = readFileSync(join(entry.parentPath, entry.name), 'latin1');
      t.notMatch(text, /PRIVATE KEY/, entry.name);
    }
  }
  t.notOk(existsSync(join(place('one'), 'keys.sealed.json')));
  t.match(await ask(`backup create ${place('no')} --with-keys`), {
    status: 2,
    stderr: /passphrase/,
  });
  t.notOk(existsSync(place('no')));
});

t.test('a backup goes to a place of its own, and nowhere by ssh', async (t) => {
  mkdirSync(place('full/inside'), { recursive: true });
  t.match(await ask(`backup create ${place('full')}`), { status: 5 });
  t.match(await ask(`backup create ${house.dataDir}/backup`), { status: 2 });
  t.match(await ask(`backup create ${place('dry')} --dry-run`), { status: 0 });
  t.notOk(existsSync(place('dry')));
  t.match(await house.admin.ssh('backup create x'), { status: 2 });
  t.match(await house.admin.ssh('backup create -'), { status: 4 });
  t.match(await ask(`backup verify ${place('full')}`), { status: 2, stderr: /is no backup/ });
  t.same(
    readdirSync(house.folder).filter((name) => name.includes('.partial-')),
    [],
  );
});

t.test('what a run that was killed left is cleared by the next', async (t) => {
  const left = place('two.partial-x');
  mkdirSync(left);
  writeFileSync(join(left, 'pid'), '999999999\n');

  t.match(await ask(`backup create ${place('two')}`), { status: 0 });

  t.notOk(existsSync(left));
});

t.test('a restored server has every ref and the trash, and lets in only site admins', async (t) => {
  const dataDir = place('restored');
  // As a restore that was cut off leaves it.
  mkdirSync(join(dataDir, 'run'), { recursive: true });
  writeFileSync(join(dataDir, 'run/first-start'), '');
  writeFileSync(join(dataDir, 'cpm.db'), 'half');

  t.match(await ask(`backup restore ${place('keyed')} --dry-run`, { dataDir, stdin: 'horse' }), {
    status: 0,
  });
  t.match(await ask(`backup restore ${place('keyed')}`, { dataDir, stdin: 'cow' }), { status: 4 });
  const done = await ask(`backup restore ${place('keyed')}`, { dataDir, stdin: 'horse' });

  t.match(done, { status: 0, said: { repositories: 3, confirmed: false, new_keys: false } });
  t.match(done.said.keys, [{ owner: 'ada' }, { owner: 'ana' }]);
  t.equal(await refs(dataDir), await refs(house.dataDir));
  const hostKey = (folder: string) => readFileSync(join(folder, 'keys/host_ed25519'), 'utf8');
  t.equal(hostKey(dataDir), hostKey(house.dataDir));
  const port = await serveAt(dataDir);
  t.match(await at(ana, port, 'whoami'), { status: 255, stderr: /Permission denied/ });
  t.match(await at(house.admin, port, 'repo trash list'), { status: 0, stdout: /acme\/old/ });
  t.match(await at(house.admin, port, 'repo verify acme/app'), { status: 0 });
  t.match(await at(house.admin, port, 'repo restore acme/old'), { status: 0 });
  t.match(await ask(`backup restore ${place('keyed')}`, { dataDir }), { said: { changed: false } });
  t.match(await ask(`backup restore ${place('keyed')} --confirm-keys`, { dataDir }), {
    status: 0,
    said: { changed: true, confirmed: true },
  });
  t.match(await at(ana, port, 'whoami'), { status: 0 });
  t.match(await ask(`backup restore ${place('one')}`, { dataDir }), { status: 5 });
});

t.test('without private keys in it, the restored server has new ones', async (t) => {
  const dataDir = place('other');
  const done = await ask(`backup restore ${place('one')} --confirm-keys`, { dataDir });

  t.match(done, { status: 0, said: { confirmed: true, new_keys: true } });
  const port = await serveAt(dataDir);
  t.match(await at(ana, port, 'list --json'), { status: 0, stdout: /acme\/app/ });
  t.match(await ask(`audit verify`, { dataDir }), { said: { ok: true } });
});

t.test('a damaged backup is told by name, and restores nothing', async (t) => {
  const bundles = join(place('two'), 'repositories');
  const [bundle = ''] = readdirSync(bundles);
  const bytes = readFileSync(join(bundles, bundle));
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 30) ^ 1, bytes.length - 30);
  writeFileSync(join(bundles, bundle), bytes);

  t.match(await ask(`backup verify ${place('two')}`), {
    status: 7,
    said: { ok: false, faults: [/repositories\/.*\.bundle is not as it was written/] },
  });
  t.match(await ask(`backup restore ${place('two')}`, { dataDir: place('never') }), {
    status: 7,
    stderr: /damaged: repositories/,
  });
  t.notOk(existsSync(join(place('never'), 'cpm.db')));
});
