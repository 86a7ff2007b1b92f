import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import { Follower } from '../../support/follower.ts';
import { type Behind, Front } from '../../support/front.ts';
import { House } from '../../support/house.ts';
import { serverKeyOf } from '../../support/pair.ts';
import { type Person, quoteWords } from '../../support/person.ts';
import { run } from '../../support/process.ts';
import { findProgram } from '../../support/program.ts';
import { isQuiet, lastRecord, type Place, processesOf, sharing, tricks } from './behind.ts';
import { peerSync } from './peer-sync.ts';
import { rsyncAlone, transfers } from './transfers.ts';

// What an administrator may have let in by mistake.
const loose = ['AcceptEnv *'];

/** What sshd is told of a key. */
async function keyLine(t: Test, house: House, line: string, account: string): Promise<string> {
  const [type = '', key = ''] = line.split(' ');
  const [program, ...args] = findProgram().command;
  const words = ['authorized-keys', '--user', account, '--type', type, '--key', key];
  const answer = await run(program, [...args, '--data-dir', house.dataDir, ...words]);
  t.match(answer, { status: 0, stderr: '' });
  return answer.stdout;
}

async function follows(
  t: Test,
  { house, front, shared = true }: { house: House; front: Front; shared?: boolean },
  person: Person,
): Promise<Follower> {
  const words = front.person(person).sshWords(shared ? sharing(person) : []);
  const follower = new Follower(t, ['ssh', ...words, 'events --follow --since 0'], {
    env: { HOME: person.home },
  });
  await house.operator(['init', `ada/for-${person.name}`, '--visibility', 'internal']);
  await follower.reads((line) => JSON.stringify(line).includes(`for-${person.name}`));
  return follower;
}

/** What must hold behind this machine's own sshd, whatever of cpm it starts. */
export async function scenarios(t: Test, behind: Behind): Promise<void> {
  const house = await House.open(t);
  const { admin } = house;
  const front = await Front.open(t, house, { behind, lines: loose });
  const ada = front.person(admin);
  const asks = (words: string, more: object = {}) =>
    ada.ssh(words, { options: sharing(ada), ...more });
  t.teardown(() => ada.ssh('', { options: [...sharing(ada), '-O', 'exit'] }));

  t.test('answers and statuses are those of the other door', async (t) => {
    const asked = [
      '',
      'whoami --json',
      'show nothing/here',
      'show --help',
      'nonsense',
      'repo delete ada/x',
      'serve',
      'shell --key-id 01890a5d-ac96-774b-bcce-b302099a8057',
      'git-upload-pack nothing/here',
      'git-upload-archive --add-file=/etc/passwd x',
      "'open",
      'user show é',
      '/usr/lib/openssh/sftp-server',
    ];
    // Node takes its time to start for each.
    for (const words of behind === 'node' ? asked.slice(-4) : asked) {
      const [here, there] = [
        await asks(words),
        await admin.ssh(words, { options: sharing(admin) }),
      ];
      const sftp = words.endsWith('sftp-server');
      t.equal(here.status, sftp ? 2 : there.status, words);
      t.equal(here.stdout, there.stdout, words);
      if (!sftp) t.equal(here.stderr, there.stderr, words);
      else t.match(here.stderr, /^cpm: sftp and scp are not offered here\n/);
    }
    const stdin = `${(await house.stranger(`key-${behind}`)).key.line}\n`;
    t.match(await asks(`user add bo-${behind} --key -`, { stdin }), { status: 0 });
  });

  t.test('S8 no word over sshd names a file of the server', async (t) => {
    for (const words of [
      'whoami --data-dir incoming/x',
      'whoami --config=/etc/passwd',
      'sshkey add /etc/ssh/ssh_host_ed25519_key.pub',
      'init x --from /etc',
      'sshkey add --data-dir incoming/x -',
    ]) {
      t.match(await asks(words), { status: 2, stdout: '' }, words);
    }
  });

  t.test('git works through sshd, and the record knows the door', async (t) => {
    const work = await ada.worktree(behind);
    const url = ada.url(`ada/${behind}`);
    t.match(await ada.git(['push', '-q', url, 'main'], { cwd: work }), { status: 0, stderr: '' });
    const clone = join(ada.home, `clone-${behind}`);
    t.match(await ada.git(['clone', '-q', url, clone]), { status: 0, stderr: '' });
    const archive = await ada.git(['archive', `--remote=${url}`, 'HEAD'], { cwd: work });
    t.match(archive, { status: 0, stderr: '' });
    t.match(await lastRecord(house, 'git-receive-pack'), {
      door: 'forced',
      principal: 'user:ada',
      address: '127.0.0.1',
      outcome: 'ok',
    });
    t.match(await lastRecord(house, 'sign-in'), { door: 'forced', principal: 'user:ada' });

    await asks(`repo protect ada/${behind}`);
    await ada.git(['commit', '-q', '--amend', '--allow-empty', '-m', 'other'], { cwd: work });
    const forced = await ada.git(['push', '-q', '-f', url, 'main'], { cwd: work });
    t.match(forced, { status: 1, stderr: /refused by rule 1 of ada\// });
    const stranger = front.person(await house.stranger(`nobody-${behind}`));
    t.match(await stranger.ssh('whoami'), { status: 255, stderr: /Permission denied/ });
  });

  t.test('a server asks another one through sshd', async (t) => {
    const peer = front.person(await house.stranger(`peer-${behind}`));
    const words = ['servers', 'add', `peer-${behind}`, '--role', 'dev', '--key', '-'];
    t.match(await house.operator(words, { stdin: `${peer.key.line}\n` }), { status: 0 });
    const answer = await peer.ssh('cpm-sync', { stdin: '{"verb":"caps"}\n' });
    t.match(answer, { status: 0, stderr: '' });
    t.match(JSON.parse(answer.stdout), { ok: { protocol: 1 } });
  });

  t.test("S29 the client's environment moves nothing", async (t) => {
    const elsewhere = join(house.folder, 'elsewhere');
    const options = tricks(elsewhere);
    const answer = await ada.ssh('whoami --json', { options });
    t.match(answer, { status: 0, stderr: '' });
    t.equal(JSON.parse(answer.stdout).user, 'ada');
    t.match(await lastRecord(house, 'sign-in'), { address: '127.0.0.1' });
    const env = { GIT_SSH_COMMAND: quoteWords(['ssh', ...ada.sshOptions(), ...options]) };
    const words = ['clone', '-q', ada.url(`ada/${behind}`), `moved-${behind}`];
    t.match(await ada.git(words, { env }), { status: 0, stderr: '' });
    t.notOk(existsSync(elsewhere));
  });

  const place: Place = { house, front, behind, ada };
  transfers(t, place, `ada/${behind}`);
  // What these say to each other is the same behind Node, only slower.
  if (behind === 'client') {
    rsyncAlone(t, place, `ada/${behind}`);
    peerSync(t, place, `ada/${behind}`);
  }

  t.test('a client that is killed leaves nothing behind', async (t) => {
    const cy = await house.person(`cy-${behind}`);
    // Node notices the end of a connection, not that of one session of several.
    const shared = behind === 'client';
    const follower = await follows(t, { house, front, shared }, cy);
    follower.kill('SIGKILL');
    await follower.ended;
    if (shared) await cy.ssh('', { options: [...sharing(cy), '-O', 'exit'] });
    await front.person(admin).ssh('', { options: [...sharing(admin), '-O', 'exit'] });
    await isQuiet(house);
    t.match(await lastRecord(house, 'events'), { door: 'forced', outcome: 'interrupted' });
  });

  t.test('a disabled user loses what runs, and what is asked next', async (t) => {
    const dee = await house.person(`dee-${behind}`);
    const follower = await follows(t, { house, front }, dee);
    const atMs = performance.now();
    t.match(await asks(`user disable dee-${behind}`), { status: 0 });
    const ended = await follower.ended;
    t.match(ended, { status: 4, stderr: /^cpm: / });
    t.ok(ended.atMs - atMs < 3000);
    const next = await front.person(dee).ssh('whoami', { options: sharing(dee) });
    t.match(next, { status: 4 }, 'on the connection that is still there');
    await dee.ssh('', { options: [...sharing(dee), '-O', 'exit'] });
    t.match(await front.person(dee).ssh('whoami'), { status: 255 });
  });
  t.test(
    'S29 a key line is for keys in force and for the account of the data directory',
    async (t) => {
      const own = (await run('id', ['-un'])).stdout.trim();
      const line = await keyLine(t, house, admin.key.line, own);
      t.match(line, /^restrict,command="exec ([^"\\]|\\")+" ssh-ed25519 [\w+/=]+\n$/);
      t.ok(line.includes(` --data-dir ${house.dataDir} shell --key-id `));
      t.ok(line.includes(admin.key.line.split(' ')[1] ?? '-'));

      t.equal(await keyLine(t, house, admin.key.line, 'nobody'), '');
      t.equal(await keyLine(t, house, admin.key.line, 'no-such-account'), '');
      t.equal(await keyLine(t, house, (await house.stranger('eve')).key.line, own), '');
      t.equal(await keyLine(t, house, 'ssh-rsa AAAA', own), '');
      t.equal(await keyLine(t, house, admin.key.line.replace('ssh-ed25519', 'ssh-rsa'), own), '');
      t.equal(await keyLine(t, house, serverKeyOf(house), own), '', 'its own key');
    },
  );

  t.test('a signal is told to the server, and ends what it runs', async (t) => {
    const own = (await run('id', ['-un'])).stdout.trim();
    const line = await keyLine(t, house, admin.key.line, own);
    const quoted = /command="((?:[^"\\]|\\")*)"/.exec(line)?.[1] ?? '';
    const command = quoted.replaceAll('\\"', '"');
    const env = {
      SSH_ORIGINAL_COMMAND: 'events --follow --since 0',
      SSH_CONNECTION: '192.0.2.7 1 192.0.2.1 22',
    };
    const follower = new Follower(t, ['/bin/sh', '-c', command], { env });
    await house.operator('init ada/signalled');
    await follower.reads((each) => JSON.stringify(each).includes('signalled'));
    follower.kill('SIGTERM');
    t.match(await follower.ended, { status: 143 });
    t.match(await lastRecord(house, 'events'), { outcome: 'interrupted', address: '192.0.2.7' });
  });

  t.test(
    'without a server several come at once, and a server that starts takes over',
    async (t) => {
      await ada.ssh('', { options: [...sharing(ada), '-O', 'exit'] });
      await house.stop();
      const elsewhere = join(house.folder, 'elsewhere');
      const first = await ada.ssh('whoami', { options: tricks(elsewhere) });
      t.match(first, { status: 0, stderr: '', stdout: /^ada, site admin\n/ });
      t.notOk(existsSync(elsewhere), 'S29');
      const work = await ada.worktree('alone');
      const [follower, ...done] = await Promise.all([
        follows(t, { house, front }, admin),
        ada.git(['push', '-q', ada.url('ada/alone'), 'main'], { cwd: work }),
        ada.git(['clone', '-q', ada.url(`ada/${behind}`), join(ada.home, 'alone-clone')]),
        house.operator('init ada/by-the-operator'),
      ]);
      for (const each of done) t.match(each, { status: 0, stderr: '' });

      const began = house.restart();
      t.match(await follower.ended, { status: 6 });
      await began;
      t.match(await ada.ssh('show ada/alone'), { status: 0 });
      t.match(await house.operator('audit verify'), { status: 0 });
    },
  );

  t.test('whoever stood in for the server ends when nobody comes any more', async (t) => {
    await house.stop();
    t.match(await ada.ssh('whoami'), { status: 0, stderr: '' });
    await ada.ssh('', { options: [...sharing(ada), '-O', 'exit'] });
    const signal = AbortSignal.timeout(20_000);
    while (processesOf(house).length > 0) {
      signal.throwIfAborted();
      await wait(50);
    }
    await house.restart();
    t.match(await house.operator('status --json'), { status: 0 });
  });
}
