import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import { must } from '../support/process.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t, { shares: true });
const ana = await house.person('ana');
const operator = { run: house.operator.bind(house) };
const admin = doorOf(house.admin);
const top = join(house.dataDir, 'repositories');
const work = await ana.worktree();
const env = ana.gitEnv();
await must('git', ['branch', 'trunk'], { cwd: work, env });
await must('git', ['commit', '-q', '--allow-empty', '-m', 'second'], { cwd: work, env });

/** Puts a bare repository there as people do, with all that it comes with. */
async function put(path: string, ...more: (readonly string[])[]): Promise<string> {
  const directory = join(top, path);
  mkdirSync(join(directory, '..'), { recursive: true });
  await must('git', ['clone', '-q', '--mirror', work, directory], { env });
  for (const line of more)
    execFileSync('git', [...line], { cwd: directory, env: { ...process.env, ...env } });
  return directory;
}

interface Listed {
  name: string;
  id: string | null;
  refs: number;
  fault?: string;
}

t.test('a repository that somebody put there is shown, checked, and made ours', async (t) => {
  const witness = join(house.folder, 'witness');
  const directory = await put(
    'ana/found.git',
    ['symbolic-ref', 'HEAD', 'refs/heads/trunk'],
    ['config', 'core.alternateRefsCommand', `touch ${witness}`],
    ['config', 'core.hooksPath', directoryOf('evil')],
    ['config', 'core.fsmonitor', `touch ${witness}`],
    ['update-ref', 'refs/pull/1/head', 'trunk'],
    ['update-ref', 'refs/replace/0123456789012345678901234567890123456789', 'main'],
  );
  mkdirSync(join(directory, 'hooks'), { recursive: true });
  writeFileSync(join(directory, 'hooks/post-update'), `#!/bin/sh\ntouch ${witness}\n`, {
    mode: 0o755,
  });
  mkdirSync(join(directory, 'info'), { recursive: true });
  writeFileSync(join(directory, 'info/attributes'), '* export-ignore\n');
  chmodSync(directory, 0o777);

  const [listed] = (await json(admin, 'list --discover')) as Listed[];
  t.match(listed, { name: 'ana/found', id: null, right: 'none', default_branch: 'trunk', refs: 2 });
  t.match(await json(operator, 'repo adopt ana/found --dry-run'), { adopted: [{ refs: 2 }] });
  t.ok(existsSync(join(directory, 'hooks')), 'a dry run changes nothing');
  t.match(await json(operator, 'repo adopt ana/found'), {
    changed: true,
    adopted: [{ name: 'ana/found', refs: 2 }],
  });

  t.match(await json(doorOf(ana), 'show found'), {
    visibility: 'private',
    default_branch: 'trunk',
    refs: [{ name: 'refs/heads/main' }, { name: 'refs/heads/trunk' }],
    archived_tips: 2,
  });
  t.strictSame(
    readdirSync(directory)
      .filter((name) => name !== 'packed-refs')
      .sort(),
    ['HEAD', 'config', 'cpm-id', 'objects', 'refs'],
  );
  t.notMatch(readFileSync(join(directory, 'config'), 'utf8'), /evil|touch/);
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.match(await ana.git(['push', '-q', ana.url('found'), 'main:more'], { cwd: work }), {
    status: 0,
  });
  t.match(await ana.git(['clone', '-q', ana.url('found'), 'found']), { status: 0 });
  t.match(await house.operator('repo verify ana/found'), { status: 0, stdout: /is whole: 3 refs/ });
  t.notOk(existsSync(witness), 'nothing of it ever ran');
  t.strictSame(await json(admin, 'list --discover'), []);
  t.match(await house.operator('repo adopt ana/found'), refused(5, /registered already/));
});

function directoryOf(name: string): string {
  return join(house.folder, name);
}

t.test(
  'S14 what must not be in a repository of ours keeps it out, and it stays as it was',
  async (t) => {
    const cases: [string, (directory: string) => void, number, RegExp][] = [
      [
        'link',
        (at) => symlinkSync('/etc/passwd', join(at, 'notes')),
        2,
        /notes is neither file nor folder/,
      ],
      [
        'objects',
        (at) => {
          rmSync(join(at, 'objects'), { recursive: true });
          symlinkSync(join(top, 'ana/found.git/objects'), join(at, 'objects'));
        },
        2,
        /objects is neither file nor folder/,
      ],
      [
        'borrows',
        (at) => writeFileSync(join(at, 'objects/info/alternates'), '/x/objects\n'),
        2,
        /borrows objects/,
      ],
      ['shallow', (at) => writeFileSync(join(at, 'shallow'), ''), 2, /history is cut off/],
      ['busy', (at) => writeFileSync(join(at, 'HEAD.lock'), ''), 2, /something works in it/],
      [
        'sha256',
        (at) => writeFileSync(join(at, 'config'), '[extensions]\n\tobjectFormat = sha256\n'),
        2,
        /does not serve/,
      ],
      [
        'alias',
        (at) => writeFileSync(join(at, 'refs/heads/alias'), 'ref: refs/heads/main\n'),
        2,
        /a name for another ref/,
      ],
      [
        'lost',
        (at) => {
          rmSync(join(at, 'objects'), { recursive: true });
          mkdirSync(join(at, 'objects/pack'), { recursive: true });
        },
        7,
        /not sound: /,
      ],
    ];
    for (const [name, spoil, status, why] of cases) {
      const directory = await put(`ana/${name}.git`);
      spoil(directory);
      const before = readdirSync(directory, { recursive: true }).sort();
      t.match(await house.operator(`repo adopt ana/${name}`), refused(status, why), name);
      t.strictSame(
        readdirSync(directory, { recursive: true }).sort(),
        before,
        `${name}: untouched`,
      );
      t.match(await house.operator(`show ana/${name}`), { status: 3 });
      rmSync(directory, { recursive: true });
    }
    symlinkSync(join(top, 'ana/found.git'), join(top, 'ana/linked.git'));
    t.match(await json(admin, 'list --discover'), [{ name: 'ana/linked', fault: 'it is a link' }]);
    t.match(await house.operator('repo adopt ana/linked'), refused(2, /it is a link/));
    rmSync(join(top, 'ana/linked.git'));
  },
);

t.test('all that can be adopted is, and of the rest it is said why not', async (t) => {
  await put('ana/one.git');
  await put('ana/two.git');
  await put('ana/Capital.git');
  await put('ana/plain');
  await put('nobody-here/app.git');
  await put('loose.git');
  cpSync(join(top, 'ana/found.git'), join(top, 'ana/copy.git'), { recursive: true });

  const faults = (await json(admin, 'list --discover')) as Listed[];
  t.strictSame(
    faults.map(({ name, fault }) => [name, fault !== undefined]),
    [
      ['ana/Capital', true],
      ['ana/copy', false],
      ['ana/one', false],
      ['ana/plain', true],
      ['ana/two', false],
      ['loose', true],
      ['nobody-here/app', true],
    ],
  );
  const done = (await json(operator, 'repo adopt')) as { adopted: Listed[]; refused: Listed[] };
  t.strictSame(
    done.adopted.map(({ name }) => name),
    ['ana/copy', 'ana/one', 'ana/two'],
  );
  t.equal(done.refused.length, 4);
  const ids = ['copy', 'found'].map(
    async (name) => (await json(admin, `show ana/${name}`)) as Listed,
  );
  const [copy, found] = await Promise.all(ids);
  t.not(copy?.id, found?.id, 'a copy is another repository');
  for (const name of ['copy', 'found', 'one', 'two'])
    t.match(await house.operator(`repo verify ana/${name}`), { status: 0 }, name);
});

t.test('what is asked wrongly, and by whom', async (t) => {
  const cases: [string, number, RegExp][] = [
    ['repo adopt ana/nosuch', 3, /no bare repository lies in its place/],
    ['repo adopt nobody-here/app', 3, /nobody-here: no such user or organization/],
    ['repo adopt ../x', 2, /is not a repository name/],
  ];
  for (const [line, status, why] of cases)
    t.match(await house.operator(line), refused(status, why), line);
  t.match(await house.admin.ssh('repo adopt ana/one'), refused(4, /only the operator/));
  t.match(await ana.ssh('list --discover'), refused(4, /only a site admin/));
});

t.test('verify says what is amiss, with status 7, and changes nothing', async (t) => {
  await house.operator('init ana/app');
  await ana.git(['push', '-q', ana.url('app'), 'main', 'trunk', 'main:third'], { cwd: work });
  const directory = join(top, 'ana/app.git');
  const good = join(house.folder, 'good.git');
  cpSync(directory, good, { recursive: true });
  const cases: [string, () => void, RegExp][] = [
    [
      'a ref moved',
      () => execFileSync('git', ['update-ref', 'refs/heads/trunk', 'main'], { cwd: directory }),
      /refs: trunk is at [0-9a-f]{40}, the record has [0-9a-f]{40}/,
    ],
    [
      'a ref made',
      () => execFileSync('git', ['update-ref', 'refs/heads/new', 'main'], { cwd: directory }),
      /refs: new is at .*, the record does not know it/,
    ],
    [
      'a ref gone',
      () => execFileSync('git', ['update-ref', '-d', 'refs/heads/third'], { cwd: directory }),
      /refs: third is not there, the record has/,
    ],
    [
      'HEAD elsewhere',
      () => writeFileSync(join(directory, 'HEAD'), 'ref: refs/heads/trunk\n'),
      /refs: HEAD leads to refs\/heads\/trunk/,
    ],
    [
      'objects lost',
      () => {
        for (const name of readdirSync(join(directory, 'objects')))
          if (name.length === 2) rmSync(join(directory, 'objects', name), { recursive: true });
      },
      /objects: /,
    ],
    [
      'a hook',
      () => {
        mkdirSync(join(directory, 'hooks'));
        writeFileSync(join(directory, 'hooks/update'), '');
      },
      /structure: hooks\/update/,
    ],
    ['config', () => writeFileSync(join(directory, 'config'), '[core]\n'), /structure: config/],
    ['a link', () => symlinkSync('/etc', join(directory, 'etc')), /structure: etc is neither/],
    [
      'alternates',
      () => writeFileSync(join(directory, 'objects/info/alternates'), '/x\n'),
      /structure: .*alternates/,
    ],
    [
      'nothing there',
      () => rmSync(directory, { recursive: true }),
      /structure: its directory is missing/,
    ],
  ];
  for (const [what, spoil, why] of cases) {
    spoil();
    const before = existsSync(directory) ? readdirSync(directory, { recursive: true }).sort() : [];
    const door = what.length % 2 === 0 ? admin : operator;
    t.match(await door.run(words('repo verify ana/app')), { status: 7, stdout: why }, what);
    const after = existsSync(directory) ? readdirSync(directory, { recursive: true }).sort() : [];
    t.strictSame(after, before, `${what}: nothing was changed`);
    rmSync(directory, { recursive: true, force: true });
    cpSync(good, directory, { recursive: true });
  }
  const { stdout, status } = await ana.ssh('repo verify app --json');
  t.equal(status, 0);
  t.match(JSON.parse(stdout), { ok: true, name: 'ana/app', refs: 3, problems: [] });
  const rows = await operator.run(['audit', 'list', '--action', 'repo verify', '--json']);
  t.match(JSON.parse(rows.stdout), [{ outcome: 'ok' }, { outcome: 'failed', target: 'ana/app' }]);
});
