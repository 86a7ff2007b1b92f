import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { generateKey } from '../support/person.ts';

const house = await House.open(t, { config: 'log_level: info\n' });
writeFileSync(join(house.folder, 'config.yaml'), `public_url: ssh://cpm@127.0.0.1:${house.port}\n`);
await house.restart();
const ana = await house.person('ana');
const ann = await house.person('ann');
for (const name of ['app', 'apple', 'banana']) await ana.ssh(`init ${name}`);
await house.command('init ada/secret');
await ana.ssh('org create anvil');

/** The words that are offered, without what is said about them. */
const offers = (stdout: string) => stdout.split('\n').flatMap((line) => line.split('\t')[0] || []);

t.test('commands, flags, values and names are offered, at every door', async (t) => {
  const fixed: readonly [readonly string[], readonly string[]][] = [
    [['who'], ['whoami']],
    [['confi'], ['config']],
    [['config', 'u'], ['unset']],
    [
      ['repo', 'access', ''],
      ['list', 'grant', 'revoke'],
    ],
    [
      ['help', 'org', 'member', 'r'],
      ['role', 'remove'],
    ],
    [['init', 'x', '--vis'], ['--visibility']],
    [
      ['init', 'x', '--visibility', 'p'],
      ['private', 'public'],
    ],
    [['init', 'x', '--visibility=i'], ['--visibility=internal']],
    [['list', '--json', '--sort', 'u'], ['updated']],
    [
      ['completion', ''],
      ['bash', 'zsh', 'fish'],
    ],
    [
      ['user', 'add', 'x', '--key', ''],
      ['-', ':files'],
    ],
    [['config', 'set', 'archive.'], ['archive.keep']],
  ];
  const named: readonly [readonly string[], readonly string[]][] = [
    [
      ['user', 'show', 'an'],
      ['ana', 'ann'],
    ],
    [['org', 'show', ''], ['anvil']],
    [['org', 'member', 'add', 'anvil', 'ann'], ['ann']],
    [
      ['list', '--namespace=an'],
      ['--namespace=ana', '--namespace=ann', '--namespace=anvil'],
    ],
    [['repo', 'access', 'grant', 'ana/app', 'org:'], ['org:anvil']],
    [['repo', 'access', 'grant', 'ana/app', 'org:anvil', 'w'], ['write']],
    [
      ['show', 'ana/app'],
      ['ana/app', 'ana/apple'],
    ],
    [['show', 'ada/'], ['ada/secret']],
    [['init', 'new'], []],
    [['nonsense', 'a'], []],
    [['show', 'nobody/'], []],
    [['show', "'; drop"], []],
  ];
  const local = doors(house).find(({ name }) => name === 'local');
  const ways = [
    ...fixed.map((row) => ({ row, door: local })),
    ...doors(house).flatMap((door) => named.map((row) => ({ row, door }))),
  ];
  for (const {
    row: [words, expected],
    door,
  } of ways) {
    const answer = await door?.run(['completion', 'words', '--', ...words]);
    t.match(answer, { status: 0 });
    t.strictSame(offers(answer?.stdout ?? ''), expected, `${door?.name}: ${words}`);
  }
  const robot = await generateKey(join(house.folder, 'robot'));
  await house.command(`sshkey add ${robot.publicPath} --repo ana/app --right read`);
  const typed = robot.fingerprint.slice(0, 12);
  for (const person of [ana, house.admin, ann])
    for (const words of [`sshkey show ${typed}`, `repo access grant ana/app key:${typed}`]) {
      const offered = offers((await person.ssh(`completion words -- ${words}`)).stdout);
      const expected = words.includes('key:') ? `key:${robot.fingerprint}` : robot.fingerprint;
      const { name } = person;
      const knows = name === 'ana' || (name === 'ada' && !words.includes('key:'));
      t.same(offered, knows ? [expected] : [], `${name}: ${words}`);
    }
  const { stdout } = await ana.ssh('completion words -- show ap');
  t.same(offers(stdout), ['app', 'apple'], 'bare names lie in the own namespace');
  t.same(
    offers((await ana.ssh('completion words -- show ada/')).stdout),
    [],
    'S18 hidden is hidden',
  );
  const json = await ana.ssh('completion words --json -- user show an');
  t.same(JSON.parse(json.stdout)[0], { word: 'ana', about: '' });
});

t.test('S18 names that one may not see are not offered, whatever is typed', async (t) => {
  for (const typed of ['', 'a', 'ada', 'ada/', 'ada/s', 'secret']) {
    const { stdout } = await ana.ssh(['completion', 'words', '--', 'show', typed]);
    t.notMatch(stdout, /secret/, typed);
  }
});

t.test('what needs no names is answered without a data directory', async (t) => {
  const env = { CPM_DATA_DIR: join(house.folder, 'nothing') };
  t.match(await house.command('completion words -- repo acc', { env }), { stdout: 'access\t\n' });
  t.match(await house.command('completion words -- show a', { env }), { status: 3 });
  t.match(await house.command('completion tcsh', { env }), {
    status: 2,
    stderr: /it is one of: bash, zsh, fish/,
  });
  t.match(await house.command('completion bash --json', { env }), { stdout: /^{"shell":"bash",/ });
  const { stdout } = await house.command('help');
  t.match(stdout, /completion {2}/);
  t.notMatch(stdout, /completion words/);
  t.match(await house.command('help completion words'), { stdout: /completion words \[WORD…\]/ });
});
