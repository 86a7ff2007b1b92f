import { mkdirSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { boolean, integer, maybe, object, string, time } from '../../src/commands/answers.ts';
import type { AnswerSchema } from '../../src/commands/command.ts';
import { greeting } from '../../src/commands/greeting.ts';
import { commands } from '../../src/commands/index.ts';
import { version } from '../../src/commands/version.ts';
import { type Entrance, House } from '../support/house.ts';
import { openBackup } from '../support/pair.ts';
import { generateKey } from '../support/person.ts';
import { schemaFaults } from '../support/schema.ts';
import { doorOf, words } from './scenario.ts';

const house = await House.open(t, { config: 'limits:\n  idle: 10m\n', shares: true });
const backup = await openBackup(t, house);
const ana = await house.person('ana');
const operator: Pick<Entrance, 'run'> = {
  // One command is about the machine itself, and no server is asked.
  run: (given, surroundings) =>
    given.includes('service')
      ? house.command(given, surroundings)
      : house.operator(given, surroundings),
};
const doors = { operator, ada: doorOf(house.admin), ana: doorOf(ana) };
const key = await generateKey(`${house.folder}/more`);
const [next, robot] = [
  await generateKey(`${house.folder}/next`),
  await generateKey(`${house.folder}/robot`),
];
mkdirSync(`${house.folder}/keydir`);
writeFileSync(`${house.folder}/keydir/dan.pub`, (await generateKey(`${house.folder}/dan`)).line);

const work = await house.admin.worktree();
const push = (...refs: string[]) =>
  house.admin.git(['push', '-q', house.admin.url('tool'), ...refs], { cwd: work });
await push('main', 'main:topic');
await house.admin.git(['commit', '-q', '--allow-empty', '-m', 'second'], { cwd: work });
await push('main');

t.test('the check of answers is strict: fields, types, times, missing and unknown', async (t) => {
  const schema: AnswerSchema = object(
    { name: string, at: time, more: maybe },
    { seq: integer, ok: boolean },
  );
  const good = { name: 'a', at: '2026-01-01T00:00:00.000Z', more: null };
  t.strictSame(schemaFaults(schema, good), []);
  t.strictSame(schemaFaults(schema, { ...good, more: 'x', seq: 1, ok: false }), []);
  const bad: object[] = [
    { ...good, name: 1 },
    { ...good, name: null },
    { ...good, at: '2026-01-01' },
    { ...good, at: '2026-01-01T00:00:00+02:00' },
    { ...good, seq: 1.5 },
    { ...good, seq: '1' },
    { ...good, other: 1 },
    { name: 'a', at: good.at },
    [good],
  ];
  for (const value of bad) t.equal(schemaFaults(schema, value).length, 1, JSON.stringify(value));
});

/** Lines that together run every command, again where done already is done, and over lists that are empty and not. */
const lines: [keyof typeof doors, string][] = [
  ['ada', 'repo history tool'],
  ['ada', 'repo undo tool main --yes'],
  ['ada', 'repo undo tool main --yes'],
  ['ada', 'repo undo tool topic --dry-run'],
  ['ada', 'repo history tool main'],
  ['ada', 'org create acme --description Works'],
  ['ada', 'org create acme --exist-ok'],
  ['ada', 'org list'],
  ['ada', 'init acme/app --description x'],
  ['ada', 'init acme/app --exist-ok'],
  ['operator', 'init acme/dry --dry-run'],
  ['ana', 'list'],
  ['ada', 'list'],
  ['ada', 'show acme/app'],
  ['ana', 'whoami'],
  ['operator', 'whoami'],
  ['ana', 'help'],
  ['ana', 'help init'],
  ['ada', 'merge acme/app topic'],
  ['ada', 'merge acme/app topic'],
  ['ada', 'repo set acme/app --visibility internal'],
  ['ana', 'show acme/app'],
  ['ada', 'repo access list acme/app'],
  ['ada', 'repo access grant acme/app ana write'],
  ['ada', 'repo access list acme/app'],
  ['ada', 'show acme/app'],
  ['ada', 'repo access revoke acme/app ana'],
  ['ada', 'repo alias add Old/App.git acme/app'],
  ['ada', 'repo alias add Old/App.git acme/app'],
  ['ada', 'repo alias list acme/app'],
  ['ada', 'repo alias list'],
  ['ada', 'show Old/App.git'],
  ['ada', 'repo alias remove Old/App.git'],
  ['ada', 'repo archive acme/app'],
  ['ada', 'repo archive acme/app'],
  ['ada', 'repo unarchive acme/app'],
  ['ada', 'repo rename acme/app core'],
  ['ada', 'repo rename acme/core core'],
  ['ada', 'show acme/app'],
  ['ada', 'repo rename acme/core ada/core'],
  ['ada', 'repo rename core acme/app'],
  ['ada', 'repo rules list acme/app'],
  ['ada', 'repo rules add acme/app v* --deny delete,force --allow ana --require signed'],
  ['ada', 'repo rules add acme/app v* --deny force --deny delete --allow ana --require signed'],
  ['ada', 'repo protect acme/app'],
  ['ada', 'org rules add acme refs/tags/** --deny force --max-file 20M'],
  ['ada', 'org rules list acme'],
  ['ada', 'repo rules list acme/app'],
  ['ada', 'repo rules remove acme/app 1 --yes'],
  ['ada', 'repo rules remove acme/app 1 --yes'],
  ['ada', 'org rules remove acme 1 --yes'],
  ['ada', 'org member add acme ana'],
  ['ada', 'org member role acme ana admin'],
  ['ada', 'org member list acme'],
  ['ada', 'org team add acme devs'],
  ['ada', 'org team add acme devs ana'],
  ['ada', 'org team list acme'],
  ['ada', 'org access grant acme team:acme/devs write'],
  ['ada', 'org access list acme'],
  ['ana', 'org show acme'],
  ['ada', 'org access revoke acme team:acme/devs'],
  ['ada', 'org set acme --member-right write'],
  ['ada', 'org team remove acme devs'],
  ['ada', 'org member remove acme ana'],
  ['ada', 'init acme/old'],
  ['ada', 'repo verify acme/old'],
  ['ada', 'repo maintain acme/old'],
  ['ada', 'list --discover'],
  ['operator', 'repo adopt'],
  ['ada', 'repo delete acme/old --yes'],
  ['ada', 'repo trash list'],
  ['ada', 'repo restore acme/old'],
  ['ada', 'repo delete acme/old --yes'],
  ['ada', 'repo trash empty acme/old --yes'],
  ['ada', 'repo trash empty --yes'],
  ['ada', 'org create guild'],
  ['ada', 'org rename guild lodge'],
  ['ada', 'org rename lodge lodge'],
  ['ada', 'org delete lodge --yes'],
  ['operator', 'user add bo'],
  ['operator', 'user add bo --exist-ok'],
  ['operator', 'user list'],
  ['ana', 'user show ana'],
  ['ada', 'user show bo'],
  ['ada', 'user admin bo'],
  ['ada', 'user access ana'],
  ['ana', 'user can ana read acme/app'],
  ['ada', 'user disable bo'],
  ['ada', 'user disable bo'],
  ['ada', 'user enable bo'],
  ['ada', 'user rename bo rob'],
  ['ada', 'user offboard rob --yes'],
  ['ada', 'user offboard rob --repos-to ana --yes'],
  ['ada', 'user delete rob --yes'],
  ['ada', 'user release bo'],
  ['ana', 'sshkey add -'],
  ['ana', `sshkey verify ${key.fingerprint}`],
  ['ana', 'sshkey list'],
  ['operator', 'sshkey list'],
  ['ada', 'sshkey add - --repo acme/app --right write --refs ci/*'],
  ['ada', 'sshkey add - --repo acme/app --right write --refs ci/*'],
  ['ada', 'sshkey list --repo acme/app'],
  ['ada', 'repo access list acme/app'],
  ['ada', 'show acme/app'],
  ['ada', 'repo access list acme/app --effective'],
  ['ada', `sshkey show ${robot.fingerprint}`],
  ['ana', `sshkey show ${key.fingerprint}`],
  ['ana', 'sshkey unused'],
  ['ada', 'sshkey unused --older 0s'],
  ['ada', `sshkey rotate ${robot.fingerprint} --key - --overlap 1h`],
  ['ada', `sshkey revoke ${robot.fingerprint} --since 1h --yes`],
  ['ana', `sshkey revoke ${key.fingerprint} --yes`],
  ['ana', `sshkey revoke ${key.fingerprint} --yes`],
  ['operator', 'user import ./keydir'],
  ['operator', 'user import ./keydir'],
  ['operator', 'sshkey generate --name robot'],
  ['ada', 'audit list'],
  ['ada', 'audit verify'],
  ['ada', 'sessions list'],
  ['ada', 'status'],
  ['operator', 'config get limits.idle'],
  ['ada', 'config list'],
  ['operator', 'config path'],
  ['ada', 'config path'],
  ['operator', 'config validate'],
  ['ada', 'config validate'],
  ['operator', 'config set limits.idle 5m'],
  ['operator', 'config set limits.idle 5m'],
  ['operator', 'config unset limits.idle'],
  ['ada', `servers add b ${backup.url} --role backup --fingerprint ${backup.fingerprint}`],
  ['operator', 'servers list'],
  ['ada', 'servers test b'],
  ['operator', 'push acme/app --to b'],
  ['ada', 'pull acme/app --from b'],
  ['ada', 'servers status'],
  ['ada', 'servers show b'],
  ['ada', 'show acme/app'],
  ['ada', 'servers known-hosts'],
  ['ada', `servers trust b --fingerprint ${backup.fingerprint}`],
  ['ada', 'servers set b --bandwidth 20M'],
  ['ada', 'servers unlink b acme/app'],
  ['ada', 'servers link b acme/app'],
  ['ada', 'servers sync b'],
  ['ada', 'list --server b'],
  ['ada', 'servers invite c --role dev'],
  ['ada', 'servers remove b --yes'],
  ['ada', 'neighbors list'],
  ['ada', 'neighbors status'],
  ['operator', 'neighbors discover --host 127.0.0.1 --port 1'],
  ['operator', 'doctor'],
  ['operator', 'backup create ./backup'],
  ['operator', 'backup verify ./backup'],
  ['operator', 'service install --user --dry-run'],
  ['operator', 'service installed cpm.service'],
  ['operator', 'restart'],
  ['ana', 'conflicts list'],
  ['ana', 'completion bash'],
  ['ana', 'completion words -- repo'],
];
const commandOf = (line: string) =>
  [...commands]
    .sort((a, b) => b.words.length - a.words.length)
    .find((command) => line === command.words || line.startsWith(`${command.words} `));

t.test('every answer as JSON is one document that fits the schema of its command', async (t) => {
  const work = await house.admin.worktree();
  for (const [who, line] of lines) {
    if (line === 'merge acme/app topic') await pushApart(work);
    const { status, stdout, stderr } = await doors[who].run(['--json', ...words(line)], {
      stdin: stdinOf(line),
    });
    t.equal(status, 0, `${line}\n${stderr}`);
    t.strictSame(
      schemaFaults(commandOf(line)?.answer ?? version.answer, JSON.parse(stdout)),
      [],
      line,
    );
  }
  for (const [command, line] of [
    [greeting, []],
    [version, ['--version']],
  ] as const)
    t.strictSame(
      schemaFaults(command.answer, JSON.parse((await ana.ssh([...line, '--json'])).stdout)),
      [],
    );
});

t.test('the lines above run every command but those that answer otherwise', async (t) => {
  const run = new Set(lines.map(([, line]) => commandOf(line)?.words));
  t.strictSame(
    commands.filter(({ words: name }) => !run.has(name)).map(({ words: name }) => name),
    // These answer line by line, or end what a test of their own begins: test/record, test/peering.
    [
      'sshkey deploy',
      'sshkey fetch',
      'servers join',
      'servers follow',
      'servers promote',
      'conflicts show',
      'conflicts resolve',
      'neighbors show',
      'neighbors remove',
      'neighbors add',
      'neighbors share',
      'neighbors sync',
      'audit export',
      'events',
      'sessions end',
      'backup restore',
      'authorized-keys',
      'shell',
      'stand-in',
      'serve',
    ],
  );
});

t.test('what changes something answers at least whether it did', async (t) => {
  for (const { words: name, changes, answer } of commands)
    if (changes && answer.type !== 'array')
      t.match(answer.properties, { changed: { type: 'boolean' } }, name);
});

/** A main and a topic that is one commit ahead of it. */
async function pushApart(cwd: string): Promise<void> {
  const git = (line: string) => house.admin.git(line, { cwd });
  await git('commit -q --allow-empty -m more');
  await git(`push -q ${house.admin.url('acme/app')} HEAD^:refs/heads/main HEAD:refs/heads/topic`);
}

function stdinOf(line: string): string {
  if (line.startsWith('sshkey rotate')) return next.line;
  return line === 'sshkey add -' ? key.line : line.startsWith('sshkey add') ? robot.line : '';
}

const runFields =
  'repo server transport result refs_updated refs_conflicted bytes_sent bytes_received bytes_total duration_ms';
const serverFields = 'name url role state latency_ms last_sync_at behind_s pending conflicts error';
/** The fields that people's scripts rely on, by the contract. */
const fields: Record<string, string> = {
  list: 'name id description visibility default_branch right archived size_bytes refs updated_at',
  show: 'name id description visibility default_branch right archived size_bytes refs updated_at sync',
  init: 'changed id name clone_url',
  merge: 'changed repo source target result commit conflicts',
  whoami: 'user admin key key_title key_expires_at server',
  'user list': 'name id state admin keys created_at last_seen_at',
  'user access': 'repo right why',
  'user can': 'allowed why',
  'sshkey list': 'fingerprint type title owner state expires_at added_at added_by last_used_at',
  'org show': 'name id description member_right members teams',
  'repo access list': 'who right via',
  'repo history': 'ref oid until at by action',
  'repo rules list': 'id pattern allow deny require max_file from',
  'org rules list': 'id pattern allow deny require max_file from',
  'audit list': 'seq at principal key address action target outcome detail',
  'audit verify': 'ok rows head first_bad',
  push: runFields,
  pull: runFields,
  'servers list': serverFields,
  'servers status': serverFields,
  'conflicts list': 'id repo ref server kind local remote base opened_at',
  'config list': 'key value origin',
};
/** Facts that answers have besides. */
const besides: Record<string, string> = {
  show: 'archived_tips archive_bytes trash_bytes clone_url grants keys',
  'sshkey list': 'right refs',
  'repo history': 'purged',
  'audit list': 'door',
  list: 'fault',
};

t.test('the fields of answers are those that are promised', async (t) => {
  for (const [name, promised] of Object.entries(fields)) {
    const answer = commands.find((command) => command.words === name)?.answer;
    const schema = answer?.items ?? answer;
    t.strictSame(
      Object.keys(schema?.properties ?? {}).sort(),
      words(`${promised} ${besides[name] ?? ''}`).sort(),
      name,
    );
    for (const field of words(promised))
      t.ok(schema?.required?.includes(field), `${name}: ${field} is always there`);
  }
  const orgShow = commands.find((command) => command.words === 'org show')?.answer.properties;
  t.strictSame(Object.keys(orgShow?.['members']?.items?.properties ?? {}), ['user', 'role']);
  t.strictSame(Object.keys(orgShow?.['teams']?.items?.properties ?? {}), ['name', 'users']);
});

t.test('every error as JSON is one object on stderr, with the status of its code', async (t) => {
  const cases: [keyof typeof doors, string, number, string][] = [
    ['ana', 'frob', 2, 'usage'],
    ['operator', 'frob', 2, 'usage'],
    ['ana', 'merge acme/app', 2, 'usage'],
    ['ana', 'list --frob', 2, 'usage'],
    ['ana', 'init Acme/App', 2, 'usage'],
    ['operator', 'init', 2, 'usage'],
    ['operator', 'user delete ana', 2, 'usage'],
    ['ana', 'show acme/nosuch', 3, 'not_found'],
    ['operator', 'user show nosuch', 3, 'not_found'],
    ['ana', 'user list', 4, 'denied'],
    ['ada', 'config unset log_level', 4, 'denied'],
    ['ada', 'serve', 4, 'denied'],
    ['ada', 'init acme/app', 5, 'conflict'],
    ['operator', 'user add ana', 5, 'conflict'],
  ];
  for (const [who, line, status, code] of cases) {
    const answer = await doors[who].run(['--json', ...words(line)]);
    t.match(answer, { status, stdout: '' }, `${who}: ${line}`);
    const { error, ...rest } = JSON.parse(answer.stderr);
    t.strictSame(rest, {}, line);
    t.strictSame(Object.keys(error), ['code', 'message', 'hint'], line);
    t.equal(error.code, code, line);
    t.ok(typeof error.message === 'string' && error.message !== '', line);
    t.ok(error.hint === null || typeof error.hint === 'string', line);
  }
  const cut = await doors.operator.run(
    words(`audit verify --head 999999:${'0'.repeat(64)} --json`),
  );
  t.match(cut, { status: 7 });
  t.match(JSON.parse(cut.stdout), { ok: false });
});

t.test("what is the operator's alone is denied over SSH, to everybody", async (t) => {
  const lines = [
    'serve',
    'restart --grace 1m',
    'authorized-keys --user ana --type ssh-ed25519 --key AAAA',
    'shell --key-id 01890a5d-ac96-774b-bcce-b302099a8057',
    'repo adopt',
    'sshkey generate',
    'neighbors discover --network 10.0.0.0/24',
    'neighbors discover --host 10.0.0.1 --add',
    'config set limits.idle 5m',
    'config unset limits.idle',
    'service install',
    'service installed cpm.service',
  ];
  for (const line of lines)
    t.match(
      await house.admin.ssh(line),
      { status: 4, stdout: '', stderr: /only the operator, on the machine itself,/ },
      line,
    );
  t.match(await ana.ssh('config set limits.idle 5m'), { status: 4 });
});

t.test('--quiet says nothing of what was merely done, --verbose why and how', async (t) => {
  const grant = 'user enable ana';
  t.match(await doors.ada.run(words(`${grant} --quiet`)), { status: 0, stdout: '', stderr: '' });
  t.match(await doors.ada.run(words(`${grant} --quiet --json`)), { stdout: '{"changed":false}\n' });

  for (const door of Object.values(doors)) {
    const { stderr } = await door.run(words('whoami --verbose'));
    t.match(
      stderr,
      /^decided: .+\nrequest [0-9a-f-]{36}: whoami by \S+ through \w+: ok, [\d.]+ ms\n$/,
    );
  }
  const { stderr } = await doors.ada.run(words('show nosuch --verbose'));
  t.match(stderr, /request [0-9a-f-]{36}: show by user:ada through ssh: not_found, [\d.]+ ms\n$/);
  const [, id] = /request (\S+):/.exec(stderr) ?? [];
  t.ok(house.stderr === '' || house.stderr.includes(id ?? '-'));
});

t.test(
  '--quiet leaves the result and errors alone, and --yes is asked of nothing else',
  async (t) => {
    t.strictSame(
      commands.filter(({ asks }) => asks).map(({ words: name }) => name),
      [
        'repo undo',
        'repo rules remove',
        'repo delete',
        'repo trash empty',
        'org delete',
        'org rules remove',
        'user delete',
        'user offboard',
        'sshkey revoke',
        'servers remove',
        'servers promote',
        'neighbors remove',
      ],
    );
    t.match(await doors.ada.run(words('init quiet --dry-run --quiet')), {
      status: 0,
      stdout: /^Created ada\/quiet/,
      stderr: '',
    });
    t.match(await doors.ada.run(words('init quiet --dry-run')), {
      stderr: 'dry run: nothing was changed\n',
    });
    t.match(await doors.ada.run(words('show nosuch --quiet')), { status: 3, stderr: /^cpm: / });
  },
);
