import { spawn } from 'node:child_process';
import { once } from 'node:events';
import Database from 'better-sqlite3';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { cleanEnv, must } from '../support/process.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t, { shares: true });
const entrances = doors(house);
const operator = { run: house.operator.bind(house) };
const [ana, bo] = [await house.person('ana'), await house.person('bo')];
for (const line of [
  'org create acme',
  'org member add acme ana',
  'init acme/app --description Apps',
  'init acme/box',
  'init acme/sub-app',
  'init ana/notes',
  'init bo/open --visibility internal',
  'init bo/closed',
])
  await house.operator(line);
const work = await ana.worktree();
await ana.git(['push', '-q', ana.url('notes'), 'main', 'main:refs/tags/v1'], { cwd: work });

const names = async (door: Parameters<typeof json>[0], line: string) =>
  ((await json(door, line)) as { name: string }[]).map(({ name }) => name);
const all = ['acme/app', 'acme/box', 'acme/sub-app', 'ana/notes', 'bo/closed', 'bo/open'];

t.test('what was pushed a moment ago counts in the size', async (t) => {
  const sizeNow = async (): Promise<number> => {
    const [found] = JSON.parse((await ana.ssh('list ana/notes --json')).stdout);
    return found.size_bytes;
  };
  const before = await sizeNow();
  t.ok(before > 0);
  await must('git', ['commit', '-q', '--allow-empty', '-m', 'more'], {
    cwd: work,
    env: ana.gitEnv(),
  });
  await ana.git(['push', '-q', ana.url('notes'), 'main'], { cwd: work });
  t.ok((await sizeNow()) > before);
});

for (const door of entrances) {
  t.test(`${door.name}: an admin sees everything, in the order of names`, async (t) => {
    t.strictSame(await names(door, 'list'), all);
    for (const habit of ['info', 'ls', 'repo list', 'repos list'])
      t.strictSame(await names(door, habit), all, habit);
  });

  t.test(`${door.name}: a pattern is a glob on the full name, the whole of it`, async (t) => {
    const cases: [string, string[]][] = [
      ['acme/*', ['acme/app', 'acme/box', 'acme/sub-app']],
      ['*app', ['acme/app', 'acme/sub-app']],
      ['*/?o?', ['acme/box']],
      ['app', []],
      ['*', all],
      ['bo/open', ['bo/open']],
    ];
    for (const [pattern, found] of cases)
      t.strictSame(await names(door, `list ${pattern}`), found, pattern);
    t.match(await door.run(['list', 'Acme/*']), refused(2, /"Acme\/\*" is not a pattern/, /acme/));
    t.match(await door.run(['list', '(a+)+']), { status: 2 });
    t.match(await door.run(['list', 'nothing*']), { status: 0, stdout: '', stderr: '' });
  });

  t.test(`${door.name}: one namespace alone, an org's or a user's`, async (t) => {
    t.strictSame(await names(door, 'list --namespace bo'), ['bo/closed', 'bo/open']);
    t.strictSame(await names(door, 'list *app --namespace acme'), ['acme/app', 'acme/sub-app']);
    t.match(
      await door.run(words('list --namespace nosuch')),
      refused(3, /nosuch: no such user or organization/),
    );
    t.match(await door.run(words('list --namespace nosuch --json')), { status: 3, stdout: '' });
  });

  t.test(`${door.name}: by name, by size and by the last change`, async (t) => {
    t.strictSame(await names(door, 'list --sort name'), all);
    t.equal((await names(door, 'list --sort size'))[0], 'ana/notes');
    t.equal((await names(door, 'list --sort updated'))[0], 'ana/notes');
    t.match(
      await door.run(words('list --sort age')),
      refused(2, /"age" is not a sort/, /name, size, updated/),
    );
  });

  t.test(`${door.name}: a line for each, and with --long id, refs and description`, async (t) => {
    const { stdout } = await door.run(['list', 'ac*pp']);
    t.match(stdout, /^acme\/app\tprivate\towner\t0 B\t\d{4}-\d\d-\d\d \d\d:\d\d\nacme\/sub-app\t/);
    const long = await door.run(words('list ana/* --long'));
    t.match(long.stdout, /^ana\/notes\tprivate\towner\t.* [KM]?B\t.*\t[0-9a-f-]{36}\t2\t\n$/);
  });

  t.test(`${door.name}: what lists and shows is there after what was changed`, async (t) => {
    t.match(await json(door, 'list ana/notes'), [
      {
        name: 'ana/notes',
        visibility: 'private',
        default_branch: 'main',
        right: 'owner',
        archived: false,
        refs: 2,
        description: '',
      },
    ]);
    t.match(await json(door, 'show ana/notes'), {
      name: 'ana/notes',
      right: 'owner',
      refs: [
        { name: 'refs/heads/main', oid: /^[0-9a-f]{40}$/ },
        { name: 'refs/tags/v1', oid: /^[0-9a-f]{40}$/ },
      ],
      sync: [],
      grants: [],
    });
    const text = await door.run(words('repo show ana/notes'));
    t.match(
      text.stdout,
      /^ana\/notes {2}private, you have: owner\nclone: ssh:\/\/.*\nsize: .* refs: 2, archived tips: 0\n/,
    );
    t.match(
      await door.run(words('show acme/nosuch')),
      refused(3, /acme\/nosuch: no such repository, or not yours to see/, /list/),
    );
    t.match(await door.run(words('show')), refused(2, /REPO is missing/));
  });

  t.test(`${door.name}: what another server has is asked of one that is known`, async (t) => {
    t.match(await door.run(words('list --server nosuch')), refused(3, /nosuch: no such server/));
    t.match(
      await door.run(words('list --server b --discover')),
      refused(2, /either --discover or --server/),
    );
  });
}

t.test('each sees what they may read, with their right', async (t) => {
  const seen = async (person: typeof ana) =>
    ((await json(doorOf(person), 'list')) as { name: string; right: string }[]).map(
      ({ name, right }) => `${name} ${right}`,
    );
  const member = ['acme/app read', 'acme/box read', 'acme/sub-app read'];
  t.strictSame(await seen(ana), [...member, 'ana/notes owner', 'bo/open read']);
  t.strictSame(await seen(bo), ['bo/closed owner', 'bo/open owner']);
  await house.operator('repo access grant bo/closed ana write');
  t.ok((await seen(ana)).includes('bo/closed write'));
  await house.operator('repo access revoke bo/closed ana');
  t.notOk((await seen(ana)).includes('bo/closed write'));
});

t.test('S18 who may read a repository sees no grants; who administers it does', async (t) => {
  await house.operator('repo access grant acme/app bo read');
  t.notOk('grants' in ((await json(doorOf(bo), 'show acme/app')) as object));
  t.notMatch((await bo.ssh('show acme/app')).stdout, /grant/);
  await house.operator('repo access grant acme/app bo admin');
  t.match(await json(doorOf(bo), 'show acme/app'), { grants: [{ who: 'bo', right: 'admin' }] });
  t.match((await bo.ssh('show acme/app')).stdout, /grant: bo admin/);
});

t.test('what one may not see is what is not there, byte for byte', async (t) => {
  const hidden = await ana.ssh('show bo/closed');
  const missing = await ana.ssh('show bo/closes');
  t.equal(hidden.status, 3);
  t.strictSame(
    { ...missing, stderr: missing.stderr.replaceAll('closes', 'closed') },
    { ...hidden },
  );
  t.strictSame(
    (await json(doorOf(ana), 'list bo/closed')) as unknown,
    (await json(doorOf(ana), 'list bo/closes')) as unknown,
  );
});

/** More than a client takes in before anybody reads: OpenSSH's window is 2 MB. */
const many = 20_000;

/** Asks for the whole list and stops reading at its first bytes. */
async function beginList() {
  const args = [...ana.sshOptions(), '-p', String(house.port), 'cpm@127.0.0.1', 'list --json'];
  const child = spawn('ssh', args, {
    env: cleanEnv({ HOME: ana.home }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(child.stdout, 'data');
  child.stdout.pause();
  return { child, closed, text: () => String(Buffer.concat(chunks)) };
}

async function lastOutcome() {
  const [row] = (await json(operator, 'audit list --user ana --action list --limit 1')) as {
    outcome: string;
  }[];
  return row?.outcome;
}

t.test('a long list streams: its first lines arrive while its last are not made yet', async (t) => {
  await house.stop();
  const db = new Database(`${house.dataDir}/cpm.db`);
  const owner = db.prepare("SELECT id FROM user WHERE name = 'bo'").pluck().get();
  const add = db.prepare(
    "INSERT INTO repository (id, namespace_id, name, description, visibility, default_branch, archived, size_bytes, ref_count, created_at, updated_at) VALUES (?, ?, ?, '', 'internal', 'main', 0, 0, 0, '2026-01-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z')",
  );
  db.transaction(() => {
    for (let n = 0; n < many; n++) add.run(`bulk-${n}`, owner, `bulk-${n}`);
  })();
  db.close();
  await house.restart();

  const { child, closed, text } = await beginList();
  t.equal(await lastOutcome(), 'open', 'the command still runs');
  child.stdout.resume();
  await closed;

  t.equal(child.exitCode, 0);
  t.ok(JSON.parse(text()).length > many);
  t.equal(await lastOutcome(), 'ok');
});

t.test(
  'one who stops reading a list keeps nobody from the server, and leaving ends it',
  async (t) => {
    const { child, closed } = await beginList();

    t.match(await bo.ssh('whoami'), { status: 0, stdout: /^bo\n/ });
    child.kill();
    await closed;
    t.match(await bo.ssh([]), { status: 0, stdout: /you reach: more than 200 repositories/ });
    let outcome = await lastOutcome();
    // Each look is a command of its own: nothing waits by the clock.
    while (outcome === 'open') outcome = await lastOutcome();
    t.equal(outcome, 'interrupted');
  },
);
