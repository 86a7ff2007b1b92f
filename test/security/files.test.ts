import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Command } from '../../src/commands/command.ts';
import { commands } from '../../src/commands/index.ts';
import { House } from '../support/house.ts';
import type { Answer } from '../support/process.ts';
import { mayTrace, strace } from '../support/strace.ts';

const house = await House.open(t);
// A site admin: whatever is refused here is refused for its form, not for a right that is missing.
const { admin } = house;
const privateKey = join(house.dataDir, 'keys', 'host_ed25519');
await admin.ssh('init app');

const files = [privateKey, '/dev/stdin', '/proc/self/environ', '../keys/host_ed25519', 'x', './-'];
const input = 'what-comes-on-standard-input';
const secrets = readFileSync(privateKey, 'utf8').split('\n').slice(1, -2);

/** The words that use each argument of a command that takes a file, in both of its spellings. */
function formsOf(command: Command, file: string): readonly (readonly string[])[] {
  const usual: Readonly<Record<string, string>> = { name: 'zoe', key: 'limits.idle', repo: 'app' };
  const takesFile = (name: string): boolean => {
    const schema = command.args[name];
    return schema !== undefined && 'format' in schema && /^(file|path)$/.test(schema.format);
  };
  return Object.keys(command.args)
    .filter(takesFile)
    .flatMap((name) => {
      const places = command.positions.map((each) => (each === name ? file : (usual[each] ?? 'x')));
      const words = [...command.words.split(' '), ...places];
      if (command.positions.includes(name)) return [words];
      return [
        [...words, `--${name}`, file],
        [...words, `--${name}=${file}`],
      ];
    });
}

/** Flags that name files, where they don't belong or don't exist. */
const flags = ['--config', '--data-dir', '--out', '--identity', '--from', '--key'];

function usesOf(file: string): readonly (readonly string[])[] {
  return [
    ...commands.flatMap((command) => formsOf(command, file)),
    ...flags.flatMap((flag) => [
      ['show', 'app', flag, file],
      [`${flag}=${file}`, 'list'],
    ]),
    ['init', 'other', '--from', file],
  ];
}

function shows({ stdout, stderr }: Answer, secret: string): boolean {
  return stdout.includes(secret) || stderr.includes(secret);
}

const test4 = 'S8 / test 4: over SSH no flag and no argument makes the server open a file';
t.test(test4, { skip: mayTrace() ? false : 'this machine allows no strace' }, async (t) => {
  const trace = await strace(house.pid, ['%file']);
  const uses = files.flatMap(usesOf);
  t.ok(uses.length > 100, `${uses.length} ways to name a file`);

  for (const words of uses) {
    const answer = await admin.ssh(words, { stdin: input });
    const said = words.join(' ');
    if (answer.status !== 2 || answer.stdout !== '') t.fail(said, answer);
    if ([...secrets, input, 'CPM_DATA_DIR', house.dataDir].some((text) => shows(answer, text))) {
      t.fail(`${said}: the answer shows what nobody may see`, answer);
    }
  }

  const honest = await admin.ssh('show app');
  const seen = (await trace.stop()).map(({ args }) => args).join('\n');
  t.equal(honest.status, 0);
  t.match(seen, 'repositories/ada/app.git', 'the trace sees what is opened');
  for (const file of ['/keys/host_ed25519', '/dev/stdin', '/proc/self/environ', '"x"', '"./-"']) {
    t.notOk(seen.includes(file), `${file} was not looked at`);
  }
  t.match(await admin.ssh('user show zoe'), { status: 3 }, 'and nothing was done');
});

t.test('S8 what a file is for goes through standard input', async (t) => {
  const stranger = await house.stranger('zoe');

  const added = await admin.ssh('user add zoe --key -', { stdin: stranger.key.line });

  t.match(added, { status: 0, stdout: 'Added user zoe.\n' });
  t.match(await stranger.ssh('whoami'), { status: 0, stdout: /^zoe\n/ });
});

t.test('S8 / test 5: --data-dir and --config are refused wherever they stand', async (t) => {
  const spellings = [
    ['--data-dir', 'incoming/x'],
    ['--data-dir=incoming/x'],
    ['--config', '/etc/passwd'],
    ['--config=/etc/passwd'],
  ];
  const lines = [
    ...[[], ['list'], ['whoami'], ['show', 'app'], ['user', 'list'], ['help'], ['--', 'list']],
    ...[
      ['git-upload-pack', 'ada/app'],
      ['git', 'upload-pack', 'ada/app'],
    ],
    ...[
      ['git-receive-pack', 'ada/app'],
      ['git-upload-archive', 'ada/app'],
    ],
    ['repo', 'set', 'app', '--description', 'd'],
  ];
  for (const words of lines) {
    for (const flag of spellings) {
      for (let at = 0; at <= words.length; at += 1) {
        const line = [...words.slice(0, at), ...flag, ...words.slice(at)];
        const answer = await admin.ssh(line);
        if (answer.status !== 2) t.fail(line.join(' '), answer);
        if (shows(answer, 'root:x:0')) t.fail(`${line.join(' ')} shows the file`);
      }
    }
  }

  t.notOk(existsSync(join(house.dataDir, 'incoming', 'x')));
  t.same(readdirSync(join(house.dataDir, 'incoming')), []);
  t.match(await admin.ssh('show app'), { status: 0, stdout: /private, you have: owner/ });
});

t.test('S8 the refusal says what to do instead', async (t) => {
  t.match(await admin.ssh('list --config x'), {
    status: 2,
    stderr:
      /^cpm: --config names a file on the server and does not exist over SSH\nhint: leave it out; files go through standard input/,
  });
  t.match(await admin.ssh('sshkey add key.pub'), {
    status: 2,
    stderr: /^cpm: over SSH a file can only be "-", standard input\nhint: send it along/,
  });
});
