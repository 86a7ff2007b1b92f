import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import { findProgram } from '../support/program.ts';
import { Screen } from '../support/screen.ts';
import { words } from './scenario.ts';

const house = await House.open(t);
const ana = await house.person('ana');
for (const line of [
  'org create acme',
  'init acme/app --description Apps',
  'init ana/a-longer-name',
  'user add bo',
])
  await house.command(line);

function locally(line: string, env: Readonly<Record<string, string>> = {}): Screen {
  const [program, ...args] = findProgram().command;
  const home = {
    HOME: join(house.folder, 'home'),
    CPM_DATA_DIR: house.dataDir,
    TERM: 'xterm-256color',
  };
  return new Screen([program, ...args, ...words(line)], {
    cwd: house.folder,
    env: { ...home, ...env },
  });
}

function overSsh(line: string, env: Readonly<Record<string, string>> = {}): Screen {
  const target = ['-tt', '-p', String(house.port), 'cpm@127.0.0.1'];
  const command = line === '' ? [] : [line];
  return new Screen(['ssh', ...house.admin.sshOptions(), ...target, ...command], {
    cwd: house.folder,
    env: { HOME: ana.home, TERM: 'xterm-256color', ...env },
  });
}

const screens = { local: locally, ssh: overSsh };
const esc = '\x1b';
/** Without what makes letters bold. */
const plain = (line: string) => line.replace(`${esc}[1m`, '').replace(`${esc}[0m`, '');

for (const [name, screen] of Object.entries(screens)) {
  t.test(
    `${name}: on a terminal a list is a table under a bold head, its columns aligned`,
    async (t) => {
      const { status, lines } = await screen('list').end();

      t.equal(status, 0);
      t.match(plain(lines[0] ?? ''), /^NAME +VISIBILITY +RIGHT +SIZE +UPDATED$/);
      t.equal(lines[0], `${esc}[1m${plain(lines[0] ?? '')}${esc}[0m`);
      t.notOk(lines.slice(1).join('').includes(esc));
      t.strictSame(
        lines.map((line) => plain(line).indexOf('private')),
        [-1, 19, 19, -1],
      );
      t.match(lines[1], /^acme\/app {11}private {5}owner +0 B/);
      t.match(lines[2], /^ana\/a-longer-name {2}private/);
    },
  );

  t.test(`${name}: a terminal that has no colour gets none`, async (t) => {
    const { lines } = await screen('list', { TERM: 'dumb' }).end();
    t.match(lines[0], /^NAME +VISIBILITY/);
    t.notOk(lines.join('').includes(esc));
  });

  t.test(`${name}: --json is the same document as without a terminal`, async (t) => {
    const { lines } = await screen('list --json').end();
    t.match(JSON.parse(lines.join('')), [{ name: 'acme/app' }, { name: 'ana/a-longer-name' }]);
    t.notOk(lines.join('').includes(esc));
  });

  t.test(`${name}: the cpm spelling of a habit is told`, async (t) => {
    const { status, lines } = await screen('desc acme/app it is new').end();
    t.equal(status, 0);
    t.match(lines.join('\n'), /in cpm's words: repo set acme\/app --description 'it is new'/);
  });

  t.test(
    `${name}: what can't be taken back is asked about, and not done without a yes`,
    async (t) => {
      for (const no of ['n\r', '\r', 'nope\r']) {
        const asked = screen('user delete bo');
        await asked.until(/user delete can't be taken back\. Do it\? \[y\/N\] /);
        asked.type(no);
        const { status, lines } = await asked.end();
        t.equal(status, 2, JSON.stringify(no));
        t.match(lines.join('\n'), /cpm: .*(not confirmed|needs --yes)/);
      }
      t.match(await house.command('user show bo'), { status: 0 });
    },
  );

  t.test(`${name}: with a yes it is done, with --yes or --dry-run nothing is asked`, async (t) => {
    await house.command(`user add fay-${name}`);
    await house.command(`user add gus-${name}`);
    const asked = screen(`user delete fay-${name}`);
    await asked.until(/\[y\/N\] /);
    asked.type('y\r');
    t.equal((await asked.end()).status, 0);
    t.match(await house.command(`user show fay-${name}`), { status: 3 });

    for (const flag of ['--dry-run', '--yes']) {
      const { status, lines } = await screen(`user delete gus-${name} ${flag}`).end();
      t.equal(status, 0);
      t.notMatch(lines.join('\n'), /\[y\/N\]/, flag);
    }
    t.match(await house.command(`user show gus-${name}`), { status: 3 });
  });

  t.test(`${name}: Ctrl-C at the question does nothing`, async (t) => {
    const asked = screen('user delete bo');
    await asked.until(/\[y\/N\] /);
    asked.type('\x03');
    t.not((await asked.end()).status, 0);
    t.match(await house.command('user show bo'), { status: 0 });
  });
}

t.test('NO_COLOR is respected', async (t) => {
  const { lines } = await locally('list', { NO_COLOR: '1' }).end();
  t.match(lines[0], /^NAME +VISIBILITY/);
  t.notOk(lines.join('').includes(esc));
});

t.test(
  'without a terminal there is no table, no colour, no question and no hint of habits',
  async (t) => {
    for (const door of [
      house.command('desc acme/app plain'),
      house.admin.ssh('desc acme/app plain'),
    ])
      t.match(await door, { status: 0, stderr: '' });
    for (const door of [house.command('list'), house.admin.ssh('list')])
      t.match(await door, { stdout: /^acme\/app\tprivate\towner\t/, stderr: '' });
    for (const door of [
      house.command('user delete bo', { stdin: 'y\n' }),
      house.admin.ssh('user delete bo', { stdin: 'y\n' }),
    ])
      t.match(await door, {
        status: 2,
        stdout: '',
        stderr: /^cpm: user delete can't be taken back: it needs --yes\n/,
      });
  },
);

t.test('ssh alone greets on a terminal, and leaves', async (t) => {
  const { status, lines } = await overSsh('').end();
  t.equal(status, 0);
  t.match(lines[0], 'Welcome to cpm, ada, site admin');
});
