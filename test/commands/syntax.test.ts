import t from 'tap';
import type { ArgSchema, Command, Format } from '../../src/commands/command.ts';
import { commands } from '../../src/commands/index.ts';
import { openCore } from '../../src/core/core.ts';
import { createRun } from '../../src/shell/run.ts';
import { InProcess, makeProps } from '../rights/in-process.ts';

const fingerprint = `SHA256:${'A'.repeat(43)}`;

/** Of each format a text that is right, of things that nobody has, and one that no look-up makes right; else these. */
const usual = ['one', '\x1b'] as const;
const texts: Readonly<Partial<Record<Format, readonly [good: string, bad: string]>>> = {
  address: ['192.0.2.7', 'here'],
  branch: ['main', 'a..b'],
  duration: ['1h', 'soon'],
  file: ['-', '/etc/passwd'],
  fingerprint: [fingerprint, 'SHA256:'],
  head: [`1:${'0'.repeat(64)}`, 'x'],
  host: ['192.0.2.7', 'a b'],
  listen: ['127.0.0.1:0', '\x1b'],
  network: ['192.0.2.0/24', '192.0.2.0'],
  moment: ['1h', 'soon'],
  name: ['nobodys', 'Ana'],
  namespace: ['nobodys', 'root'],
  path: ['-', '../x'],
  pattern: ['*', 'A B'],
  refs: ['main', 'a..b'],
  repo: ['nobodys/app', '../x'],
  setting: ['limits.idle', 'NONSENSE'],
  url: ['ssh://x', '\x1b'],
  uuid: ['00000000-0000-0000-0000-000000000000', 'x'],
  who: ['nobodys', 'x:y'],
  words: ['one two three four five six', 'one'],
};

/** Arguments that are wrong only together, or together with their command. */
const together: readonly string[][] = [
  ['repo', 'set', 'nobodys/app'],
  ['org', 'set', 'nobodys'],
  ['config', 'set', 'limits.idle', 'soon'],
  ['audit', 'verify', '--head', 'x'],
  ['sshkey', 'revoke', '--yes'],
  ['sshkey', 'revoke', fingerprint, '--all', '--yes'],
  ['nonsense'],
  ['repo', 'nonsense'],
  ['push', 'nobodys/app', '--nonsense'],
  ['repo', 'set', 'nobodys/app', '--description', 'a', '--description', 'b'],
];

const formatOf = (schema: ArgSchema): Format | undefined => {
  if (schema.type === 'array') return schema.items.format;
  return schema.type === 'string' && 'format' in schema ? schema.format : undefined;
};

function good(schema: ArgSchema): string {
  if ('enum' in schema) return schema.enum[0] ?? '';
  const format = formatOf(schema);
  return format === undefined ? '1' : (texts[format] ?? usual)[0];
}

function bad(schema: ArgSchema): string | undefined {
  if ('enum' in schema || schema.type === 'integer') return 'nonsense';
  const format = formatOf(schema);
  return format && (texts[format] ?? usual)[1];
}

/** Every way to say a command wrongly, each with one thing wrong. */
function* faulty(command: Command): Generator<string[]> {
  const words = command.words.split(' ');
  const schema = (name: string): ArgSchema => command.args[name] as ArgSchema;
  const positions = command.positions.map((name) => good(schema(name)));
  const needed = command.required
    .filter((name) => !command.positions.includes(name))
    .flatMap((name) => [`--${name}`, good(schema(name))]);
  const yes = command.asks ? ['--yes'] : [];
  const all = [...words, ...positions, ...needed, ...yes];
  yield [...all, '--nonsense'];
  yield [...all, '--config', 'x'];
  yield command.changes ? [...all, '--dry-run=x'] : [...all, '--dry-run'];
  if (command.asks) yield [...words, ...positions, ...needed];
  const last = command.positions.at(-1);
  if (last === undefined || schema(last).type !== 'array') yield [...all, 'one', 'more'];
  for (const [index, name] of command.positions.entries()) {
    if (command.required.includes(name)) yield [...words, ...positions.slice(0, index), ...needed];
    const wrong = bad(schema(name));
    if (wrong !== undefined) yield [...words, ...positions.with(index, wrong), ...needed, ...yes];
  }
  for (const name of Object.keys(command.args)) {
    if (command.positions.includes(name)) continue;
    const wrong = bad(schema(name));
    if (wrong === undefined) yield [...all, `--${name}=x`];
    else yield [...all, `--${name}`, wrong];
    if (schema(name).type !== 'boolean') yield [...all, `--${name}`];
  }
}

const folder = t.testdir();
const house = await InProcess.open(folder, await makeProps(folder), { openCore, createRun });
t.teardown(() => house.close());

for (const command of commands) {
  // Help takes any words, and these begin nothing that a stranger could ask for.
  if (['help', 'version', 'serve'].includes(command.words)) continue;
  t.test(`${command.words}: who may nothing hears of faulty words, not of rights`, async (t) => {
    for (const words of faulty(command)) {
      const { status, stderr } = await house.ask('an', words);
      t.equal(status, 2, `${words.join(' ')}\n${stderr}`);
    }
  });
}

t.test('arguments that are wrong only together are refused before rights, too', async (t) => {
  for (const words of together) {
    for (const who of ['an', 'op'] as const) {
      t.match(await house.ask(who, words), { status: 2 }, `${who}: ${words.join(' ')}`);
    }
  }
});
