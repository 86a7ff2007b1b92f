import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import { type Entrance, House } from '../support/house.ts';
import { openBackup } from '../support/pair.ts';
import { generateKey } from '../support/person.ts';
import { doorOf, json, refused, words } from './scenario.ts';

interface Entry {
  seq: number;
  at: string;
  principal: string;
  key: string | null;
  address: string | null;
  door: string;
  action: string;
  target: string | null;
  outcome: string;
  detail: Record<string, unknown>;
}

const house = await House.open(t, { config: 'log_level: warn\n' });
const operator: Pick<Entrance, 'run'> = { run: house.operator.bind(house) };
const { url, fingerprint } = await openBackup(t, house);
const ana = await house.person('ana');
const admin = doorOf(house.admin);
const key = await generateKey(join(house.folder, 'more'));
const next = await generateKey(join(house.folder, 'next'));
mkdirSync(join(house.folder, 'keydir'));
writeFileSync(
  join(house.folder, 'keydir/dan.pub'),
  (await generateKey(join(house.folder, 'dan'))).line,
);
await house.admin.git(['push', '-q', house.admin.url('tool'), 'main', 'main:topic'], {
  cwd: await house.admin.worktree(),
});
const entries = async (line: string) => (await json(operator, `audit list ${line}`)) as Entry[];

/** What is done, by whom, how it ends, and what the record keeps of it. */
type Row = [
  who: 'ada' | 'ana' | 'operator',
  line: string,
  status: number,
  action: string,
  target: string | null,
  outcome: string,
];

const done: Row[] = [
  ['operator', 'user add bo', 0, 'user add', 'bo', 'ok'],
  ['ada', 'user add cy --email cy@example.org', 0, 'user add', 'cy', 'ok'],
  ['operator', 'user disable bo', 0, 'user disable', 'bo', 'ok'],
  ['ada', 'user enable bo', 0, 'user enable', 'bo', 'ok'],
  ['ada', 'user delete cy --yes', 0, 'user delete', 'cy', 'ok'],
  ['operator', 'sshkey add - --user ana', 0, 'sshkey add', 'ana', 'ok'],
  ['ana', `sshkey verify ${key.fingerprint}`, 0, 'sshkey verify', key.fingerprint, 'ok'],
  ['ana', `sshkey rotate ${key.fingerprint} --key -`, 0, 'sshkey rotate', key.fingerprint, 'ok'],
  ['ana', `sshkey revoke ${key.fingerprint} --yes`, 0, 'sshkey revoke', key.fingerprint, 'ok'],
  ['operator', 'user import ./keydir', 0, 'user import', null, 'ok'],
  ['operator', 'sshkey generate --name robot', 0, 'sshkey generate', null, 'ok'],
  ['ana', 'org create acme', 0, 'org create', 'acme', 'ok'],
  ['ana', 'org member add acme bo', 0, 'org member add', 'acme', 'ok'],
  ['ada', 'org member role acme bo admin', 0, 'org member role', 'acme', 'ok'],
  ['operator', 'org member remove acme bo', 0, 'org member remove', 'acme', 'ok'],
  ['ana', 'org team add acme devs', 0, 'org team add', 'acme', 'ok'],
  ['ana', 'org access grant acme team:acme/devs read', 0, 'org access grant', 'acme', 'ok'],
  ['ada', 'org access revoke acme team:acme/devs', 0, 'org access revoke', 'acme', 'ok'],
  ['ana', 'org team remove acme devs', 0, 'org team remove', 'acme', 'ok'],
  ['ana', 'org set acme --member-right write', 0, 'org set', 'acme', 'ok'],
  ['ana', 'org create guild', 0, 'org create', 'guild', 'ok'],
  ['ana', 'org delete guild --yes', 0, 'org delete', 'guild', 'ok'],
  ['ada', 'user admin bo', 0, 'user admin', 'bo', 'ok'],
  ['operator', 'user release cy', 0, 'user release', 'cy', 'ok'],
  ['ana', 'init acme/app', 0, 'init', 'acme/app', 'ok'],
  // What comes of merges is in test/merge.
  ['ana', 'merge acme/app main', 3, 'merge', 'acme/app', 'not_found'],
  ['operator', 'init tools', 0, 'init', 'tools', 'ok'],
  ['ana', 'repo set acme/app --description x', 0, 'repo set', 'acme/app', 'ok'],
  ['ana', 'repo access grant acme/app bo read', 0, 'repo access grant', 'acme/app', 'ok'],
  ['ana', 'repo rules add acme/app v* --deny force', 0, 'repo rules add', 'acme/app', 'ok'],
  ['ada', 'repo rules remove acme/app 1 --yes', 0, 'repo rules remove', 'acme/app', 'ok'],
  ['ana', 'repo protect acme/app', 0, 'repo protect', 'acme/app', 'ok'],
  ['ana', 'org rules add acme v* --deny force', 0, 'org rules add', 'acme', 'ok'],
  ['operator', 'org rules remove acme 1 --yes', 0, 'org rules remove', 'acme', 'ok'],
  ['ada', 'repo access revoke acme/app bo', 0, 'repo access revoke', 'acme/app', 'ok'],
  [
    'ada',
    `servers add b ${url} --role backup --fingerprint ${fingerprint}`,
    0,
    'servers add',
    'b',
    'ok',
  ],
  ['operator', 'push acme/app --to b', 0, 'push', 'acme/app', 'ok'],
  ['ada', 'pull acme/app --from b', 0, 'pull', 'acme/app', 'ok'],
  ['ada', `servers trust b --fingerprint ${fingerprint}`, 0, 'servers trust', 'b', 'ok'],
  ['ada', 'servers set b --bandwidth 20M', 0, 'servers set', 'b', 'ok'],
  ['ada', 'servers unlink b acme/app', 0, 'servers unlink', 'b acme/app', 'ok'],
  ['ada', 'servers link b acme/app', 0, 'servers link', 'b acme/app', 'ok'],
  ['ada', 'servers sync b', 0, 'servers sync', 'b', 'ok'],
  ['ada', 'servers invite c --role dev', 0, 'servers invite', 'c', 'ok'],
  ['ada', 'servers remove b --yes', 0, 'servers remove', 'b', 'ok'],
  ['ada', 'repo undo tool topic --yes', 0, 'repo undo', 'tool', 'ok'],
  ['ana', 'init acme/lib', 0, 'init', 'acme/lib', 'ok'],
  ['ana', 'repo alias add Old/Lib acme/lib', 0, 'repo alias add', 'acme/lib', 'ok'],
  ['ana', 'repo alias remove Old/Lib', 0, 'repo alias remove', 'Old/Lib', 'ok'],
  ['ana', 'repo archive acme/lib', 0, 'repo archive', 'acme/lib', 'ok'],
  ['ada', 'repo unarchive acme/lib', 0, 'repo unarchive', 'acme/lib', 'ok'],
  ['ana', 'repo rename acme/lib core', 0, 'repo rename', 'acme/lib', 'ok'],
  ['operator', 'repo rename acme/core lib', 0, 'repo rename', 'acme/core', 'ok'],
  ['ana', 'org create lodge', 0, 'org create', 'lodge', 'ok'],
  ['ana', 'org rename lodge inn', 0, 'org rename', 'lodge', 'ok'],
  ['ada', 'user add fay', 0, 'user add', 'fay', 'ok'],
  ['ada', 'user rename fay gus', 0, 'user rename', 'fay', 'ok'],
  ['ada', 'user offboard gus --yes', 0, 'user offboard', 'gus', 'ok'],
  ['ana', 'init acme/old', 0, 'init', 'acme/old', 'ok'],
  ['ana', 'repo maintain acme/old', 0, 'repo maintain', 'acme/old', 'ok'],
  ['operator', 'repo maintain acme/old --prune-archive', 0, 'repo maintain', 'acme/old', 'ok'],
  ['operator', 'repo adopt', 0, 'repo adopt', null, 'ok'],
  ['ana', 'D trash acme/old --yes', 0, 'repo delete', 'acme/old', 'ok'],
  ['ana', 'repo restore acme/old', 0, 'repo restore', 'acme/old', 'ok'],
  ['ada', 'repo delete acme/old --yes', 0, 'repo delete', 'acme/old', 'ok'],
  ['ana', 'repo trash empty acme/old --yes', 0, 'repo trash empty', 'acme/old', 'ok'],
  ['operator', 'doctor --fix', 0, 'doctor', null, 'ok'],
  ['operator', 'backup create ./backup', 0, 'backup create', './backup', 'ok'],
  ['operator', 'config set limits.channels 9', 0, 'config set', 'limits.channels', 'ok'],
  ['operator', 'config unset limits.channels', 0, 'config unset', 'limits.channels', 'ok'],
  ['operator', 'service installed cpm.service', 0, 'service installed', 'cpm.service', 'ok'],
  ['operator', 'restart', 0, 'restart', null, 'ok'],
];

const others: Row[] = [
  ['ana', 'desc acme/app y', 0, 'repo set', 'acme/app', 'ok'],
  ['ana', 'init acme/dry --dry-run', 0, 'init', 'acme/dry', 'ok'],
  ['ana', 'list', 0, 'list', null, 'ok'],
  ['ana', 'repo history ada/tool', 3, 'repo history', 'ada/tool', 'not_found'],
  ['ada', 'repo history tool', 0, 'repo history', 'tool', 'ok'],
  ['ana', 'show tools', 3, 'show', 'tools', 'not_found'],
  ['ana', 'show ada/tools', 3, 'show', 'ada/tools', 'not_found'],
  ['ana', 'user add dan', 4, 'user add', 'dan', 'denied'],
  ['ana', 'init ada/x', 4, 'init', 'ada/x', 'denied'],
  ['ana', 'init acme/app', 5, 'init', 'acme/app', 'conflict'],
  ['ana', 'init Acme', 2, 'init Acme', null, 'usage'],
  ['ana', 'merge acme/app', 2, 'merge acme/app', null, 'usage'],
  ['ana', 'servers add x', 4, 'servers add', 'x', 'denied'],
  ['ana', 'push acme/app --to nosuch', 3, 'push', 'acme/app', 'not_found'],
  ['ana', 'sshkey revoke --all', 2, 'sshkey revoke', null, 'usage'],
  ['ada', 'user offboard ana', 2, 'user offboard', 'ana', 'usage'],
  ['ada', 'user delete ana', 2, 'user delete', 'ana', 'usage'],
  ['operator', 'user delete ana', 2, 'user delete', 'ana', 'usage'],
  ['ada', 'config set limits.idle 1m', 4, 'config set', 'limits.idle', 'denied'],
  ['operator', 'user show nosuch', 3, 'user show', 'nosuch', 'not_found'],
  ['operator', 'org member add acme nosuch', 3, 'org member add', 'acme', 'not_found'],
];

t.test(
  'every change and every refusal is on record, under who asked, by what and how it ended',
  async (t) => {
    const asks = { operator, ada: admin, ana: doorOf(ana) };
    const [last] = await entries('--limit 1');
    for (const [who, line, status] of [...done, ...others]) {
      const answer = await asks[who].run(words(line), {
        stdin: stdinOf(line),
      });
      t.equal(answer.status, status, `${who}: ${line}\n${answer.stderr}`);
    }

    const recorded = (await entries('--limit 200'))
      .filter(
        ({ seq, action }) =>
          seq > (last?.seq ?? 0) && action !== 'sign-in' && !action.startsWith('audit'),
      )
      .reverse();
    t.equal(recorded.length, done.length + others.length);
    for (const [index, [who, line, , action, target, outcome]] of [...done, ...others].entries())
      t.match(
        recorded[index],
        {
          principal: who === 'operator' ? 'operator' : `user:${who}`,
          key: who === 'operator' ? null : (who === 'ana' ? ana : house.admin).key.fingerprint,
          address: who === 'operator' ? null : '127.0.0.1',
          door: who === 'operator' ? 'local' : 'ssh',
          action,
          target,
          outcome,
        },
        `${who}: ${line}`,
      );
  },
);

function stdinOf(line: string): string {
  if (line.startsWith('sshkey rotate')) return next.line;
  return line.startsWith('sshkey add') ? key.line : '';
}

t.test('the table above has each command that changes something', async (t) => {
  // What these end begins in tests of their own: test/record/sessions.test.ts, test/peering, test/service.
  const paired = ['add', 'remove', 'share', 'sync'].map((word) => `neighbors ${word}`);
  const elsewhere = [
    ...paired,
    'sessions end',
    'sshkey deploy',
    'sshkey fetch',
    'conflicts resolve',
    'servers join',
    'servers follow',
    'servers promote',
    'backup restore',
    'service install',
  ];
  const changing = commands
    .filter((command) => command.changes && !elsewhere.includes(command.words))
    .map((command) => command.words);
  t.strictSame([...new Set(done.map(([, , , action]) => action))].sort(), [...changing].sort());
});

t.test('what can not be read as a command is on record like any other refusal', async (t) => {
  const [last] = await entries('--limit 1');
  const refusals: [(typeof operator)['run'], string[], string, string][] = [
    [(line) => ana.ssh(line.join(' ')), ["list 'open"], 'user:ana', "list 'open"],
    [(line) => ana.ssh(line.join(' ')), ['list \\'], 'user:ana', 'list \\'],
    [operator.run, ['nonsense', 'x'], 'operator', 'nonsense x'],
    [operator.run, ['list', '--nonsense'], 'operator', 'list --nonsense'],
  ];
  for (const [ask, line] of refusals) t.match(await ask(line), { status: 2, stderr: /^cpm: / });
  t.match(await ana.ssh('sftp', { options: ['-s'] }), { status: 2 });

  await house.stop();
  t.match(await operator.run(['more', 'nonsense']), { status: 2, stderr: /^cpm: "more"/ });
  await house.restart();

  const recorded = (await entries('--limit 20')).filter(
    ({ seq, action }) => seq > (last?.seq ?? 0) && !/^(audit|sign-in)/.test(action),
  );
  t.match(
    recorded.reverse().map(({ principal, action, outcome }) => [principal, action, outcome]),
    [
      ...refusals.map(([, , who, action]) => [who, action, 'usage']),
      ['user:ana', 'subsystem sftp', 'usage'],
      ['operator', 'more nonsense', 'usage'],
    ],
  );
  t.equal(recorded.length, refusals.length + 2);
});

t.test('a push and a clone are on record with what they did to which ref', async (t) => {
  const work = await ana.worktree();
  t.match(await ana.git(['push', '-q', ana.url('acme/app'), 'main'], { cwd: work }), { status: 0 });
  t.match(await ana.git(['clone', '-q', ana.url('acme/app'), 'copy']), { status: 0 });
  t.not((await ana.git(['ls-remote', ana.url('ada/tools')])).status, 0);

  const oid = (await ana.git('rev-parse main', { cwd: work })).stdout.trim();
  t.match(await entries('--action git-receive-pack'), [
    {
      principal: 'user:ana',
      target: 'acme/app',
      outcome: 'ok',
      detail: { refs: [{ ref: 'refs/heads/main', new: oid }] },
    },
  ]);
  t.match(await entries('--action git-upload-pack'), [
    { target: 'ada/tools', outcome: 'not_found' },
    { target: 'acme/app', outcome: 'ok' },
  ]);
});

t.test(
  'filters: user, repository, key, address, action, time and number, newest first',
  async (t) => {
    const all = await entries('--limit 1000');
    t.strictSame(
      all.map(({ seq }) => seq),
      all.map(({ seq }) => seq).sort((a, b) => b - a),
    );
    const by = async (line: string, matches: (entry: Entry) => boolean) => {
      const found = await entries(`${line} --limit 1000`);
      t.ok(found.length > 0 && found.every(matches), line);
      const expected = all.filter(matches).map(({ seq }) => seq);
      t.strictSame(
        found.map(({ seq }) => seq).filter((seq) => seq <= (all[0]?.seq ?? 0)),
        expected,
        line,
      );
    };
    await by('--user ana', ({ principal }) => principal === 'user:ana');
    await by(`--key ${ana.key.fingerprint}`, ({ key: signed }) => signed === ana.key.fingerprint);
    await by('--address 127.0.0.1', ({ address }) => address === '127.0.0.1');
    await by('--action init', ({ action }) => action === 'init');
    await by(
      '--user ana --action init',
      ({ principal, action }) => principal === 'user:ana' && action === 'init',
    );

    t.equal((await entries('--limit 3')).length, 3);
    t.strictSame(await entries('--until 1d'), []);
    t.strictSame(await entries('--since 2099-01-01'), []);
    t.ok((await entries('--since 1h --limit 1000')).length >= all.length);
    t.strictSame(await entries('--user nosuch'), []);
  },
);

t.test(
  "a repository's admin sees its entries and no others, also those before the name was typed in full",
  async (t) => {
    const found = (await json(doorOf(ana), 'audit list --repo acme/app')) as Entry[];
    const seen = new Set(found.map(({ action }) => action));
    for (const action of [
      'init',
      'repo set',
      'repo access grant',
      'git-receive-pack',
      'git-upload-pack',
    ])
      t.ok(seen.has(action), action);
    t.ok(found.every(({ target }) => target === 'acme/app'));
    t.ok(
      (await entries('--repo ada/tools')).some(
        ({ action, target }) => action === 'init' && target === 'tools',
      ),
    );
    t.match(await ana.ssh('audit list'), refused(4, /only a site admin may do this/));
    t.match(await ana.ssh('audit list --repo ada/tools'), refused(3, /no such repository/));
    t.match(await ana.ssh('audit verify'), refused(4, /only a site admin/));
  },
);

t.test('a line for each, and the whole chain verifies', async (t) => {
  t.match(await house.admin.ssh('audit list --limit 2 --action init'), {
    status: 0,
    stdout: /^\d+\t\d{4}-\d\d-\d\dT[\d:.]+Z\tuser:ana\t127\.0\.0\.1\tinit\tacme\/app\tconflict\n/,
  });
  const whole = (await json(admin, 'audit verify')) as { head: string };
  t.match(whole, { ok: true, first_bad: null, head: /^\d+:[0-9a-f]{64}$/ });
  t.match(await house.operator(`audit verify --head ${whole.head}`), {
    status: 0,
    stdout: /^The record is whole: \d+ rows/,
  });
  t.match(
    await house.operator(
      `audit verify --head ${whole.head.replace(/.$/, (c) => (c === '0' ? '1' : '0'))}`,
    ),
    { status: 7 },
  );
  t.match(await house.operator('audit verify --head x'), refused(2, /a head is SEQ:HASH/));
  for (const line of [
    '--limit 0',
    '--limit x',
    '--since soon',
    '--user Ana',
    '--key x',
    '--repo ../x',
  ])
    t.match(await house.operator(`audit list ${line}`), { status: 2 }, line);
});
