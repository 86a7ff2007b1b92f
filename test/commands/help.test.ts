import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import { doors, House } from '../support/house.ts';
import { json, refused, words } from './scenario.ts';

const house = await House.open(t);
const listed = commands.filter(({ unlisted }) => !unlisted).map((command) => command.words);

interface Described {
  command: string;
  usage: string;
  examples: string[];
  args: Record<string, { description: string }>;
  positions: string[];
  answer: unknown;
}

for (const door of doors(house)) {
  t.test(`${door.name}: help names every command, and nothing that is not there`, async (t) => {
    const { status, stdout, stderr } = await door.run(['help']);
    t.equal(status, 0);
    t.equal(stderr, '');
    t.strictSame(
      [...stdout.matchAll(/^ {2}((?:[a-z]+ )*[a-z-]+) {2,}\S/gm)].map(([, name]) => name),
      listed,
    );
    t.match(
      stdout,
      /ssh cpm@server 'repo set app --description "An app"'/,
      'and that SSH splits words',
    );
  });

  t.test(
    `${door.name}: help about one says how it is used, with each argument and examples`,
    async (t) => {
      const about = await door.run(words('help user add'));
      for (const piece of [
        /^Add a user\.\n/,
        /\n {2}user add NAME \[--key FILE\] \[--admin\]/,
        /NAME +the new user's name/,
        /--key +a public key/,
        /For example:\n {2}user add ana/,
      ])
        t.match(about.stdout, piece);
      t.match(await door.run(words('help user delete')), { stdout: /user delete NAME --yes\n/ });
      t.match(await door.run(words('help user')), {
        status: 0,
        stdout: /user add .*\n {2}user list /,
      });
    },
  );

  t.test(`${door.name}: --help is taken anywhere, with whatever else`, async (t) => {
    const about = (await door.run(words('help org member add'))).stdout;
    for (const line of ['org member add --help', 'org -h members add acme'])
      t.match(await door.run(words(line)), { status: 0, stdout: about }, line);
    t.match(await door.run(words('users --help')), { status: 0, stdout: /user add / });
    t.match(await door.run(words('user delete ana --help')), { status: 0 }, 'and does nothing');
  });

  t.test(
    `${door.name}: help as JSON describes each command with its arguments and answer`,
    async (t) => {
      const all = (await json(door, 'help')) as Described[];
      t.strictSame(
        all.map(({ command }) => command),
        listed,
      );
      for (const { command, usage, args, positions, answer } of all) {
        t.ok(usage.startsWith(command), usage);
        t.ok(
          positions.every((name) => name in args),
          command,
        );
        t.match(answer, { type: /object|array/ }, command);
      }
      t.strictSame(
        (await json(door, 'init --help')) as unknown,
        all.filter(({ command }) => command === 'init'),
      );
    },
  );

  t.test(`${door.name}: --version is taken anywhere`, async (t) => {
    const answer = { status: 0, stdout: /^cpm \d+\.\d+\.\d+\n$/, stderr: '' };
    t.match(await door.run(['--version']), answer);
    t.match(await json(door, '--version'), { version: /^\d+\.\d+\.\d+$/ });
  });

  t.test(`${door.name}: unknown words get a hint`, async (t) => {
    const cases: [string, RegExp, RegExp][] = [
      ['frobnicate', /"frobnicate": no such command/, /help/],
      ['user', /user: what about it\?/, /user add, user list/],
      ['user frob', /user "frob": no such command/, /user add/],
      ['frob --help', /frob: no such command/, /help/],
      ['list --frob', /"--frob" is no flag of cpm/, /help COMMAND/],
      ['constructor', /"constructor": no such command/, /help/],
    ];
    for (const [line, why, hint] of cases)
      t.match(await door.run(words(line)), refused(2, why, hint), line);
  });
}
