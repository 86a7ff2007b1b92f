import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import { House } from '../support/house.ts';
import { openBackup } from '../support/pair.ts';
import { generateKey } from '../support/person.ts';
import { type Answer, cleanEnv, must } from '../support/process.ts';
import { findProgram } from '../support/program.ts';
import { json } from './scenario.ts';

const house = await House.open(t, { config: 'limits:\n  idle: 10m\n', shares: true });
const backup = await openBackup(t, house);
const ana = await house.stranger('ana');
const bo = await house.stranger('bo');
const laptop = await generateKey(join(house.folder, 'laptop'));
const newKeys = [
  await generateKey(join(house.folder, 'new')),
  await generateKey(join(house.folder, 'newer')),
];
const [{ fingerprint: replaced } = laptop] = newKeys;
const keydir = join(house.folder, 'keydir');
writeFileSync(join(house.folder, 'ana.pub'), ana.key.line);
mkdirSync(join(keydir, 'team'), { recursive: true });
writeFileSync(join(keydir, 'team/dan@laptop.pub'), (await generateKey(join(keydir, 'dan'))).line);

/** What makes the world that the examples speak of comes first, what takes it away last. */
const first = ['org create', 'user add', 'init', 'servers add'];
const last = [
  'repo access revoke',
  'org access revoke',
  'org team remove',
  'org member remove',
  'sshkey revoke',
  'user disable',
  'user enable',
  'user delete',
  'org delete',
  'servers set',
  'servers unlink',
  'servers remove',
];
const rank = (words: string) =>
  first.includes(words)
    ? first.indexOf(words)
    : 100 + (last.includes(words) ? 100 + last.indexOf(words) : 0);
const inOrder = [...commands].sort((a, b) => rank(a.words) - rank(b.words));

/** What the operator does before an example, so that it has something to act on. */
const before: Record<string, readonly string[]> = {
  'repo delete acme/old --yes': ['init acme/old'],
  'repo trash empty acme/old --yes': ['repo delete acme/old --yes'],
  'repo access grant acme/app org:guests read': ['org create guests'],
  'org access grant acme team:acme/devs write': ['org team add acme devs'],
  'repo rules add acme/app "release/*" --deny force,delete --allow team:acme/devs': [
    'org team add acme devs',
  ],
  'org delete guild --yes': ['org create guild'],
  'sshkey add - --repo acme/app --repo acme/lib --right write --refs "ci/**" < ci.pub': [
    'init acme/lib',
  ],
  'repo rename acme/old-app new-app': ['init acme/old-app'],
  'repo rename acme/tool guests/tool': ['init acme/tool', 'org create guests --exist-ok'],
  'repo archive acme/done': ['init acme/done'],
  'org rename oldguild newguild': ['org create oldguild'],
  'user rename newhire hire': ['user add newhire'],
  'user offboard leaver --repos-to bo --yes': ['user add leaver'],
  'user release olduser': ['user add olduser', 'user delete olduser --yes'],
};
/** Who types it, where that is not the admin over SSH. */
const anas = [
  'sshkey add - --title laptop < laptop.pub',
  'sshkey revoke SHA256:… --yes',
  'sshkey list',
  'whoami',
];
const isAnas = (line: string) => anas.includes(line) || line.startsWith('sshkey verify');
const isLocal = (line: string) =>
  /^(serve|restart|backup|doctor|neighbors discover|repo adopt|repo maintain .*--prune|user import \.|service|sshkey generate|sshkey rotate .* --generate|config (path|validate|set|unset))/.test(
    line,
  );

const contents: Record<string, () => Promise<string | Buffer>> = {
  'app.bundle': async () => {
    const cwd = await house.admin.worktree('bundled');
    const { bytes } = await must('git', ['bundle', 'create', '-q', '-', '--all'], { cwd });
    return bytes;
  },
  'ana.pub': async () => ana.key.line,
  'laptop.pub': async () => laptop.line,
  'new.pub': async () => newKeys.shift()?.line ?? '',
  'ci.pub': async () => (await generateKey(join(house.folder, 'ci'))).line,
  'mirror.pub': async () => (await generateKey(join(house.folder, 'mirror'))).line,
  'keydir.tar': async () => {
    const archive = join(house.folder, 'keydir.tar');
    await must('tar', ['-C', keydir, '-cf', archive, 'team']);
    return readFileSync(archive, 'latin1');
  },
  signature: async () => {
    const verify = `sshkey verify ${laptop.fingerprint}`;
    const asked = await json({ run: (words) => ana.ssh(words, { stdin: '' }) }, verify);
    const file = join(house.folder, 'challenge');
    writeFileSync(file, (asked as { challenge: string }).challenge);
    await must('ssh-keygen', ['-q', '-Y', 'sign', '-n', 'cpm-key', '-f', laptop.privatePath, file]);
    return readFileSync(`${file}.sig`, 'utf8');
  },
};

async function type(line: string, words: string): Promise<Answer> {
  const [, typed = '', file] = /^(.*?)(?: < (\S+))?$/.exec(line) ?? [];
  const stdin = file === undefined ? '' : await contents[file]?.();
  const own = await must('ssh-keygen', ['-lf', join(house.dataDir, 'keys/server_ed25519.pub')]);
  const real = typed
    .replace(/SHA256:…(?= --generate)/, own.stdout.split(' ')[1] ?? '')
    .replace('SHA256:…', words.startsWith('servers') ? backup.fingerprint : 'SHA256:…')
    .replace('SHA256:…', typed.includes('--overlap') ? replaced : laptop.fingerprint)
    .replace('cpm@b.example.org:2222', backup.url)
    .replace(/ > \S+$/, '')
    // Followed for ever: the tests of events follow; here it shows what there is.
    .replace(' --follow', '')
    .replace('--since 1200', '--since 1');
  if (real.includes('SEQ:HASH')) {
    const { head } = (await json({ run: (line) => house.admin.ssh(line) }, 'audit verify')) as {
      head: string;
    };
    return house.admin.ssh(real.replace('SEQ:HASH', head));
  }
  if (words === 'sessions end') return house.admin.ssh(`${words} ${await openSession()}`);
  if (isLocal(line)) return house.command(real, { stdin });
  return (isAnas(line) ? ana : house.admin).ssh(real, { stdin });
}

/** A session of bo's that is open, for whoever wants to end one. */
async function openSession(): Promise<string> {
  const target = ['-p', String(house.port), 'cpm@127.0.0.1', 'events --follow'];
  const follower = spawn('ssh', [...bo.sshOptions(), ...target], { stdio: 'ignore' });
  t.teardown(() => follower.kill());
  for (let looks = 0; looks < 200; looks += 1) {
    const rows = await json({ run: (words) => house.admin.ssh(words) }, 'sessions list');
    const open = (rows as { id: string; principal: string }[]).find(
      ({ principal }) => principal === 'user:bo',
    );
    if (open !== undefined) return open.id;
  }
  throw new Error('the follower never came');
}

/** Starts `cpm serve …` in a place of its own and ends it once it listens. */
async function serve(line: string): Promise<number | null> {
  const [program, ...args] = findProgram().command;
  const place = join(house.folder, `serve-${line.length}`);
  const env = cleanEnv({
    HOME: house.folder,
    CPM_ADMIN: 'ada',
    CPM_DATA_DIR: place,
    CPM_LISTEN: '127.0.0.1:0',
  });
  // The example's ports may be in use here.
  const words = line.replaceAll(':2222', ':0').split(' ');
  const child = spawn(program, [...args, ...words], { env, stdio: ['ignore', 'pipe', 'ignore'] });
  const closed = once(child, 'close');
  for await (const chunk of child.stdout) {
    if (/listening on ssh:\/\/127\.0\.0\.1:\d+/.test(String(chunk))) child.kill('SIGTERM');
  }
  const [status] = await closed;
  return status;
}

/** What is in acme/app before its history is asked for: a branch that grew, and one beside it. */
async function fillApp(): Promise<void> {
  const { admin } = house;
  const work = await admin.worktree('app');
  const push = ['push', '-q', admin.url('acme/app'), '+main', '+main:topic'];
  await must('git', push, { cwd: work, env: admin.gitEnv() });
  await must('git', ['commit', '-q', '--allow-empty', '-m', 'more'], {
    cwd: work,
    env: admin.gitEnv(),
  });
  await must('git', push.slice(0, -1), { cwd: work, env: admin.gitEnv() });
}

/** These need two servers, or a place without one: test/peering, test/neighbors,
 * test/repo/backup.test.ts and test/service type them. */
const paired = ['add', 'remove', 'share', 'show', 'sync'].map((word) => `neighbors ${word}`);
const elsewhere = [
  ...paired,
  'conflicts show',
  'conflicts resolve',
  'sshkey deploy',
  'sshkey fetch',
  'servers join',
  'servers follow',
  'servers promote',
  'backup restore',
  'service install',
  'authorized-keys',
  'shell',
  'stand-in',
];

for (const { words, examples, columns } of inOrder.filter(
  (each) => !elsewhere.includes(each.words),
))
  for (const line of examples)
    t.test(`the example works: ${line}`, async (t) => {
      for (const prepared of before[line] ?? [])
        t.match(await house.operator(prepared), { status: 0 }, prepared);
      if (line === 'repo history acme/app') await fillApp();
      if (words === 'serve') return t.equal(await serve(line), 0);
      const { status, stdout, stderr } = await type(line, words);
      t.equal(status, 0, stderr);
      t.notMatch(stderr, /cpm:/);
      if (columns === undefined) t.not(stdout, '', 'and says something');
      if (line === 'init acme/app') await fill();
    });

/** The rest of the world: bo, and a repository with the branches main and trunk. */
async function fill() {
  await house.operator(['user', 'add', 'bo', '--key', bo.key.publicPath]);
  const work = await house.admin.worktree();
  await house.admin.git(
    ['push', '-q', house.admin.url('acme/app'), 'main', 'main:trunk', 'main:topic'],
    {
      cwd: work,
    },
  );
  // What somebody left there, for the examples of its adoption.
  const repositories = join(house.dataDir, 'repositories/acme');
  cpSync(join(repositories, 'app.git'), join(repositories, 'found.git'), { recursive: true });
}

t.test('each command has an example, which begins with its words', async (t) => {
  for (const { words, examples } of commands) {
    t.ok(examples.length > 0, words);
    t.ok(
      examples.every((line) => line.startsWith(words)),
      words,
    );
  }
});
