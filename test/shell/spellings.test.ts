import t from 'tap';
import { respell } from '../../src/shell/spellings.ts';

const spelled = (line: string) => respell(line === '' ? [] : line.split(' ')).words.join(' ');

t.test('nouns are taken in singular and plural', async (t) => {
  const cases: [typed: string, words: string][] = [
    ['users list', 'user list'],
    ['user list', 'user list'],
    ['orgs list', 'org list'],
    ['organization show acme', 'org show acme'],
    ['organizations', 'org'],
    ['repos set app', 'repo set app'],
    ['repository set app', 'repo set app'],
    ['repositories set app', 'repo set app'],
    ['sshkeys list', 'sshkey list'],
    ['audits list', 'audit list'],
    ['backups verify x', 'backup verify x'],
    ['configs list', 'config list'],
    ['completions bash', 'completion bash'],
    ['server list', 'servers list'],
    ['servers list', 'servers list'],
    ['neighbor list', 'neighbors list'],
    ['conflict list', 'conflicts list'],
    ['session list', 'sessions list'],
    ['event', 'events'],
    ['org members add acme ana', 'org member add acme ana'],
    ['orgs teams list acme', 'org team list acme'],
    ['repos aliases list app', 'repo alias list app'],
    ['repo rule list app', 'repo rules list app'],
    ['org rule list acme', 'org rules list acme'],
  ];
  for (const [typed, words] of cases) t.equal(spelled(typed), words, typed);
});

t.test('a name is never taken for a noun', async (t) => {
  for (const typed of [
    'init rule',
    'show members',
    'list teams',
    'init users',
    'user add orgs',
    'sshkey add aliases',
  ])
    t.equal(spelled(typed), typed);
  for (const typed of [
    'user show members',
    'org show members',
    'repo set rule',
    'org member add teams users',
  ])
    t.equal(spelled(typed), typed);
});

t.test('commands that stand under repo too lose it', async (t) => {
  for (const verb of ['init', 'list', 'show', 'push', 'pull', 'merge']) {
    t.equal(spelled(`repo ${verb} app`), `${verb} app`);
    t.equal(spelled(`repos ${verb} app`), `${verb} app`);
  }
  t.equal(spelled('repo'), 'repo');
  t.equal(spelled('repo set app'), 'repo set app');
});

t.test('habits of other servers run the same commands, and the cpm spelling is told', async (t) => {
  const cases: [typed: string, words: string, flags: Record<string, string>, habit: string][] = [
    ['info', 'list', {}, 'list'],
    ['info acme/*', 'list acme/*', {}, 'list acme/*'],
    ['ls', 'list', {}, 'list'],
    ['create acme/app', 'init acme/app', {}, 'init acme/app'],
    ['repo create app', 'init app', {}, 'init app'],
    ['repos create app', 'init app', {}, 'init app'],
    [
      'repo private app',
      'repo set app',
      { visibility: 'private' },
      'repo set app --visibility private',
    ],
    ['D trash app', 'repo delete app', {}, 'repo delete app'],
    ['D restore app', 'repo restore app', {}, 'repo restore app'],
    ['pubkey list', 'sshkey list', {}, 'sshkey list'],
    ['pubkey add -', 'sshkey add -', {}, 'sshkey add -'],
    [
      'desc app small',
      'repo set app',
      { description: 'small' },
      'repo set app --description small',
    ],
    [
      "desc app it's new",
      'repo set app',
      { description: "it's new" },
      "repo set app --description 'it'\\''s new'",
    ],
    ['desc app', 'repo set app', {}, 'repo set app'],
    ['desc', 'repo set', {}, 'repo set'],
  ];
  for (const [typed, words, flags, habit] of cases)
    t.strictSame(respell(typed.split(' ')), { words: words.split(' '), flags, habit }, typed);
});

t.test('words that look like a habit and are none stay as they are', async (t) => {
  for (const typed of [
    'd trash app',
    'D',
    'D list',
    'trash D',
    'show info',
    'help ls',
    'init create',
  ])
    t.strictSame(respell(typed.split(' ')), {
      words: typed.split(' '),
      flags: {},
      habit: undefined,
    });
});

t.test('names of what every object has are words like others', async (t) => {
  for (const word of ['constructor', '__proto__', 'toString', 'valueOf', 'hasOwnProperty'])
    for (const typed of [[word], [word, word], ['org', word], ['repo', word, word]])
      t.strictSame(respell(typed), { words: typed, flags: {}, habit: undefined });
  t.strictSame(respell([]), { words: [], flags: {}, habit: undefined });
  t.strictSame(respell(['']).words, ['']);
});
