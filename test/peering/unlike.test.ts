import { randomBytes } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { entryIn } from '../support/appears.ts';
import { House } from '../support/house.ts';
import { introduce } from '../support/pair.ts';
import { type Person, quoteWords } from '../support/person.ts';
import { type Answer, must, run } from '../support/process.ts';
import { ShiftedClock, without } from '../support/unlike.ts';

const folder = mkdtempSync(join(tmpdir(), 'cpm-unlike-'));
t.teardown(() => rmSync(folder, { recursive: true }));
const missing = join(folder, 'missing');
mkdirSync(missing);
const bare = await without(missing, ['rsync']);
const skip = bare === undefined && 'this account may not hide a program from a server';
const config = 'sync:\n  concurrency: 0\n';
const clock = new ShiftedClock(join(folder, 'clock'));
const [hq, b, c] = await Promise.all([
  House.open(t),
  House.open(t, { admin: 'bea', ...bare }),
  House.open(t, { admin: 'cay', syncs: true, config, ...clock.options }),
]);
for (const [house, name] of [[b, 'b'] as const, [c, 'c'] as const]) {
  await introduce(hq, house, { name, role: 'backup' });
  await introduce(house, hq, { name: 'hq', role: 'main' });
}
await hq.operator('org create acme');
const work = await hq.admin.worktree();
const git = (...words: string[]) => must('git', words, { cwd: work, env: hq.admin.gitEnv() });

const directory = (house: House, repo: string) =>
  join(house.dataDir, 'repositories', `${repo}.git`);
const refsOf = async (path: string) => (await must('git', ['-C', path, 'show-ref'])).stdout;

/** A commit of so many bytes that do not compress, into a repository of hq. */
async function grow(repo: string, bytes = 16): Promise<void> {
  writeFileSync(join(work, 'data'), randomBytes(bytes));
  await git('add', 'data');
  await git('commit', '-q', '-m', 'more');
  await git('push', '-q', directory(hq, repo), 'main');
}

/** A real rsync client. @param words - `:path` is on the server */
function rsync(person: Person, house: House, words: string): Promise<Answer> {
  const ssh = quoteWords(['ssh', ...person.sshOptions(), '-p', String(house.port)]);
  const args = words.split(' ').map((word) => word.replace(/^:/, 'cpm@127.0.0.1:'));
  return run('rsync', ['-e', ssh.replaceAll("'", ''), ...args], {
    cwd: person.home,
    env: { HOME: person.home },
  });
}

const rows = ({ stdout, stderr }: Answer) => (stdout === '' ? stderr : JSON.parse(stdout));

t.test('on the machine of one server there is no rsync', { skip }, async (t) => {
  await hq.operator('init acme/app');
  await grow('acme/app', 100_000);

  const sent = await hq.operator('push acme/app --to b --json');
  t.match(rows(sent), [{ result: 'created', transport: 'tar' }]);
  await grow('acme/app');
  const fetched = await b.operator('pull acme/app --from hq --json');
  t.match(rows(fetched), [{ result: 'updated', transport: 'tar' }]);
  t.equal(await refsOf(directory(b, 'acme/app')), await refsOf(directory(hq, 'acme/app')));

  await grow('acme/app');
  for (const asked of [
    await hq.operator('push acme/app --to b --transport rsync'),
    await b.operator('pull acme/app --from hq --transport rsync'),
  ]) {
    t.match(asked, { status: 6, stderr: /no rsync on both sides\n.*install rsync/s });
  }
  t.match(await hq.operator('servers test b'), {
    status: 0,
    stdout: /rsync: \S+ here, none there: tar takes its place/,
  });
  t.match(await b.operator('servers test hq'), {
    status: 0,
    stdout: /rsync: none here, \S+ there: tar takes its place/,
  });

  const own = join(b.admin.home, 'own.git');
  await must('git', ['init', '-q', '--bare', own]);
  for (const words of [':acme/app.git/ copy.git/', 'own.git/ :bea/own.git/']) {
    const said = await rsync(b.admin, b, `-avz --delete ${words}`);
    t.not(said.status, 0);
    t.match(said.stderr, /there is no rsync here/, words);
  }
  t.match((await b.operator('doctor')).stdout, /^note +rsync: none .*\n +hint: install it/m);
  t.strictSame([...readdirSync(join(b.dataDir, 'incoming'))], []);
});

const yearMs = 31_557_600_000;

t.test('the clock of one server is years off, back and forth', async (t) => {
  await hq.operator('init acme/late');
  await grow('acme/late');
  const [here, there] = [directory(hq, 'acme/late'), directory(c, 'acme/late')];
  const copy = join(c.admin.home, 'copy.git');
  t.match(rows(await hq.operator('push acme/late --to c --json')), [{ result: 'created' }]);

  for (const years of [10, -10]) {
    clock.shift(years * yearMs);
    for (const [way, carry] of [
      ['push', () => hq.operator('push acme/late --to c --transport rsync --json')],
      ['pull', () => c.operator('pull acme/late --from hq --transport rsync --json')],
    ] as const) {
      await grow('acme/late');
      dateFiles(here, 2001);
      dateFiles(there, years > 0 ? 1990 : 2037);
      t.match(rows(await carry()), [{ result: 'updated' }], `${way}, ${years} years`);
      t.equal(await refsOf(there), await refsOf(here));
      // Its list of refs is as long as before.
      const fetched = await rsync(c.admin, c, '-avz --delete :acme/late.git/ copy.git/');
      t.equal(fetched.status, 0, fetched.stderr);
      t.equal(await refsOf(copy), await refsOf(here), `a cron line, ${way}, ${years} years`);
    }
  }
  await must('git', ['-C', there, 'fsck', '--strict']);
  await must('git', ['-C', copy, 'fsck', '--strict']);
  const tested = await hq.operator('servers test c');
  t.match(tested, { status: 0, stdout: /clock: -?\d{9}\.\d s apart; no decision here depends/ });
  clock.shift(-11 * yearMs);
  t.match(await c.operator('doctor'), { stdout: /^FAIL +clock: it is \d+ s behind/m });
});

t.test('a clock that goes back makes no pause longer', async (t) => {
  clock.shift(10 * yearMs);
  await hq.stop();
  t.match(await c.operator('servers sync hq'), { status: 6 });
  await hq.restart();
  await git('commit', '-q', '--allow-empty', '-m', 'more');
  await git('push', '-q', hq.admin.url('acme/late'), 'main');
  clock.shift(0);

  const refs = join(directory(c, 'acme/late'), 'refs', 'heads');
  const tip = (await git('rev-parse', 'main')).stdout;
  await c.operator('config set sync.concurrency 2');
  await entryIn(refs, (name) => name === 'main' && readFileSync(join(refs, name), 'utf8') === tip);
  t.match(await c.operator('servers status'), { stdout: /up/ });
});

/** Gives all files of a repository the same time. */
function dateFiles(path: string, year: number): void {
  const at = new Date(Date.UTC(year, 0));
  for (const name of readdirSync(path, { recursive: true, encoding: 'utf8' })) {
    utimesSync(join(path, name), at, at);
  }
}
