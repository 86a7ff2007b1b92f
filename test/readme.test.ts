import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { commands } from '../src/commands/index.ts';
import { keys, settings } from '../src/settings.ts';
import { House } from './support/house.ts';
import { quoteWords } from './support/person.ts';
import { run } from './support/process.ts';
import { findProgram } from './support/program.ts';

const readme = readFileSync(join(import.meta.dirname, '../README.md'), 'utf8');

interface Block {
  readonly kind: string;
  readonly text: string;
}

/** The blocks between fences: `sh` is run, `console` is run and its output compared, the rest is read. */
const blocks: readonly Block[] = [...readme.matchAll(/^```(\w*)\n(.*?)^```$/gms)].map(
  ([, kind = '', text = '']) => ({ kind, text }),
);

const house = await House.open(t, { admin: 'ana' });
const project = join(house.folder, 'project');
const tools = join(house.folder, 'bin');
const path = process.env['PATH'] ?? '/usr/bin:/bin';
await prepare();

/** A project with a commit, Bo's key, and `cpm` and `ssh cpm` as somebody has them who followed the first lines. */
async function prepare(): Promise<void> {
  const { admin } = house;
  cpSync(await admin.worktree('project'), project, { recursive: true });
  writeFileSync(join(project, 'bo.pub'), `${(await house.stranger('bo')).key.line}\n`);
  const config = join(house.folder, 'ssh_config');
  const host = `Host cpm\n  HostName 127.0.0.1\n  Port ${house.port}\n  User cpm\n  IdentityFile ${admin.key.privatePath}\n`;
  const quiet = `  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile ${admin.home}/known_hosts\n  LogLevel ERROR\n`;
  writeFileSync(config, host + quiet);
  mkdirSync(tools);
  program('ssh', `PATH=${quoteWords([path])} exec ssh -F ${config} "$@"`);
  program('cpm', `CPM_DATA_DIR=${house.dataDir} exec ${quoteWords(findProgram().command)} "$@"`);
}

function program(name: string, line: string): void {
  writeFileSync(join(tools, name), `#!/bin/sh\n${line}\n`);
  chmodSync(join(tools, name), 0o755);
}

/** Runs lines of a POSIX shell as the admin, in the project; the first that fails ends them. */
function shell(lines: string) {
  const { GIT_SSH_COMMAND: _ours, ...env } = house.admin.gitEnv();
  return run('sh', ['-e', '-c', `exec 2>&1\n${lines}`], {
    cwd: project,
    env: { ...env, PATH: `${tools}:${path}` },
  });
}

/** Output with what differs from day to day and from machine to machine made alike. */
function masked(output: string): string {
  return output
    .replaceAll(/SHA256:[A-Za-z0-9+/]{43}/g, 'SHA256:*')
    .replaceAll(/ssh:\/\/cpm@[^/\s]+/g, 'ssh://cpm@*')
    .replaceAll(/\((?:test|ana@laptop)\)/g, '(*)')
    .replaceAll(/\b[0-9a-f]{7,40}\b/g, '*')
    .replaceAll(/\d{4}-\d\d-\d\d(?:[T ][\d:.]+Z?)?/g, '*');
}

/** The commands of a transcript, each with the output that is said to follow. */
function transcript(text: string): { command: string; output: string }[] {
  return text
    .split(/^\$ /m)
    .slice(1)
    .map((part) => {
      const end = part.indexOf('\n');
      return { command: part.slice(0, end), output: part.slice(end + 1) };
    });
}

t.test(
  'every block of the README that a shell can run runs, and says what it is said to say',
  async (t) => {
    for (const { kind, text } of blocks) {
      if (kind === 'sh') {
        const { status, stdout } = await shell(text);
        t.equal(status, 0, `${text}\n${stdout}`);
      }
      if (kind === 'console')
        for (const { command, output } of transcript(text)) {
          const { status, stdout } = await shell(command);
          t.equal(status, 0, `${command}\n${stdout}`);
          t.equal(masked(stdout), masked(output), command);
        }
    }
    t.strictSame([...new Set(blocks.map(({ kind }) => kind))].sort(), [
      'console',
      'sh',
      'text',
      'yaml',
    ]);
  },
);

t.test('what the first start prints is what the README shows', async (t) => {
  const shown = blocks.find(({ text }) => text.includes('listening on'))?.text ?? '';
  const lines = (text: string) =>
    masked(text)
      .replaceAll(/^listening .*\n/gm, '')
      .replaceAll(/(?<=^data directory: | {4}HostName | {4}Port | {4}IdentityFile ).*/gm, '*')
      .replaceAll(/\(\/.*\)/g, '(*)')
      .trim();
  await house.stop();
  const fresh = await House.open(t, { admin: 'ana' });
  t.equal(lines(fresh.stdout), lines(shown));
});

t.test(
  'the configuration of the README is valid, and its tables have every key with its default',
  async (t) => {
    const file = join(house.folder, 'readme.yaml');
    writeFileSync(file, blocks.find(({ kind }) => kind === 'yaml')?.text ?? '');
    t.match(await house.operator(['config', 'validate', file]), { status: 0 });

    const told = new Map(
      [...readme.matchAll(/^\| `([a-z_.]+)` \| (.*?) \|/gm)].map(([, key = '', value = '']) => [
        key,
        value,
      ]),
    );
    const computed = [
      'main_server',
      'data_dir',
      'ssh_key_path',
      'database_path',
      'host_keys',
      'public_url',
      'default_namespace',
    ];
    for (const key of keys) {
      const value = told.get(key);
      if (computed.includes(key)) t.ok(value, key);
      else t.equal(value, `\`${settings[key].fallback}\``, key);
    }
  },
);

t.test('the README has every command, in a form that the command takes', async (t) => {
  const cells = [...readme.matchAll(/`([^`\n]+)`/g)].map(([, cell = '']) => cell);
  for (const { words } of commands.filter(({ unlisted }) => !unlisted))
    t.ok(
      cells.some((cell) => cell === words || cell.startsWith(`${words} `)),
      `README.md names: ${words}`,
    );
});
