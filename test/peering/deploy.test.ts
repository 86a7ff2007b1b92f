import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import { asJson, done } from '../support/keys.ts';
import { hostKeyOf, serverKeyOf } from '../support/pair.ts';
import { generateKey, quoteWords } from '../support/person.ts';
import { must, run } from '../support/process.ts';
import { findProgram } from '../support/program.ts';
import { startSshd } from '../support/sshd.ts';

const [hq, b] = await Promise.all([
  House.open(t, { admin: 'ada' }),
  House.open(t, { admin: 'bea' }),
]);
const ana = await hq.person('ana');
const hqUrl = `cpm@127.0.0.1:${hq.port}`;
const hqKey = await hostKeyOf(hq);
const ownPath = join(b.dataDir, 'keys', 'server_ed25519');

/** A server of whose key nobody has heard. @returns its fingerprint */
async function newOwnKey(): Promise<string> {
  for (const path of [ownPath, `${ownPath}.pub`]) rmSync(path);
  return (await generateKey(ownPath)).fingerprint;
}

/** An account with a shell behind the machine's own sshd; `cpm` there is the one of `hq`. */
const account = await (async () => {
  const folder = join(hq.folder, 'account');
  mkdirSync(join(folder, 'home/.ssh'), { recursive: true });
  mkdirSync(join(folder, 'bin'));
  const program = [...findProgram().command, '--data-dir', hq.dataDir];
  const script = join(folder, 'bin/cpm');
  writeFileSync(script, `#!/bin/sh\nexec ${quoteWords(program)} "$@"\n`);
  chmodSync(script, 0o755);
  const file = join(folder, 'home/.ssh/authorized_keys');
  const sshd = await startSshd(join(folder, 'sshd'), [
    `AuthorizedKeysFile ${file}`,
    'PermitUserEnvironment yes',
    `Subsystem sftp internal-sftp -d ${folder}/home`,
  ]);
  t.teardown(sshd.stop);
  const key = await generateKey(join(folder, 'key'));
  const path = `environment="PATH=${folder}/bin:/usr/bin:/bin"`;
  const before = `# by hand\n${path} ${key.line}\n`;
  writeFileSync(file, before);
  const { stdout } = await must('ssh-keygen', ['-lf', join(folder, 'sshd/host.pub')]);
  const address = `${sshd.user}@127.0.0.1:${sshd.port}`;
  return {
    file,
    before,
    path,
    address,
    port: sshd.port,
    key,
    fingerprint: stdout.split(' ')[1] ?? '',
  };
})();

/** What a command comes to for whoever has b's own key. */
function asServer(port: number, user: string, command: string) {
  const set = ['IdentitiesOnly=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
  const options = [...set, 'BatchMode=yes', 'LogLevel=ERROR'].flatMap((each) => ['-o', each]);
  const words = ['-F', 'none', '-i', ownPath, ...options, '-p', String(port)];
  return run('ssh', [...words, `${user}@127.0.0.1`, command]);
}

t.test(
  'deploy makes this server’s key one of the person whose key opens a cpm server',
  async (t) => {
    const words = ['sshkey', 'deploy', hqUrl, '--fingerprint', hqKey, '--json'];
    const opens = [...words, '--identity', ana.key.privatePath];
    const own = await newOwnKey();
    t.match(await asServer(hq.port, 'cpm', 'whoami'), { status: 255, stderr: /Permission denied/ });

    const dry = await asJson(b.operator([...opens, '--dry-run']));
    t.match(await asServer(hq.port, 'cpm', 'whoami'), { status: 255 }, 'a dry run does nothing');
    const first = await asJson(b.operator(opens));
    const again = await asJson(b.operator(words));

    const about = { fingerprint: own, address: hqUrl, user: 'ana' };
    t.match([dry, first], [about, { changed: true, ...about }]);
    t.match(again, { changed: false, ...about }, 'its own key is enough to see that');
    t.match(await asServer(hq.port, 'cpm', 'whoami'), { status: 0, stdout: /^ana\n/ });
    t.match(await asJson(ana.ssh(['sshkey', 'show', own, '--json'])), {
      state: 'active',
      owner: 'ana',
      title: /^cpm server cpm@/,
    });
    const audit = ['audit', 'list', '--action', 'sshkey deploy', '--limit', '1', '--json'];
    t.match(await asJson(b.operator(audit)), [{ outcome: 'ok', target: hqUrl }]);
  },
);

t.test('fetch shows keys, and imports those that are named, to a named user', async (t) => {
  await done(b.operator('user add ana'));
  const words = ['sshkey', 'fetch', hqUrl, '--fingerprint', hqKey];
  const opens = [...words, '--identity', ana.key.privatePath, '--json'];
  const { fingerprint, line } = ana.key;

  const seen = await asJson(b.operator(opens));
  const shy = await b.operator([...opens, '--import', 'ana']);
  const only = ['--import', 'ana', '--only', fingerprint];
  const dry = await asJson(b.operator([...opens, ...only, '--dry-run']));
  const none = await asJson(b.operator('sshkey list --user ana --json'));
  const taken = await asJson(b.operator([...opens, ...only]));
  const again = await asJson(b.operator([...opens, ...only]));

  const key = { fingerprint, title: 'test', public_key: line };
  const [first, ...others] = seen.keys;
  t.match(seen, { changed: false, address: hqUrl });
  t.strictSame(first, { ...key, state: 'new' });
  t.match(others, [{ title: /^cpm server/, state: 'new' }]);
  t.match(shy, { status: 2, stderr: /one by one/ });
  t.match(dry.keys, [{ state: 'imported' }, { state: 'new' }]);
  t.same(none, [], 'a dry run imports nothing');
  t.match(
    [taken, again],
    [
      { changed: true, keys: [{ state: 'imported' }] },
      { changed: false, keys: [{ state: 'known' }] },
    ],
  );
  t.match(await asJson(b.operator('sshkey list --user ana --json')), [
    { fingerprint, state: 'active', owner: 'ana' },
  ]);
  t.match(await ana.at(b).ssh('whoami'), { status: 0, stdout: /^ana\n/ });
});

t.test(
  'on a plain account the key gets one line, for cpm there and nothing else (S25)',
  async (t) => {
    const where = [account.address, '--fingerprint', account.fingerprint];
    const opens = [...where, '--identity', account.key.privatePath, '--json'];
    const user = account.address.split('@')[0] ?? '';
    await newOwnKey();

    const unsaid = await b.operator(['sshkey', 'deploy', ...opens]);
    const dry = await asJson(
      b.operator(['sshkey', 'deploy', ...opens, '--user', 'ana', '--dry-run']),
    );
    t.equal(readFileSync(account.file, 'utf8'), account.before, 'nothing yet');
    t.match([unsaid, dry], [{ status: 2, stderr: /--user NAME/ }, { changed: true }]);

    const first = await asJson(b.operator(['sshkey', 'deploy', ...opens, '--user', 'ana']));
    const text = readFileSync(account.file, 'utf8');
    const again = await asJson(b.operator(['sshkey', 'deploy', ...where, '--json']));
    const base64 = serverKeyOf(b).split(' ')[1] ?? '';
    writeFileSync(
      account.file,
      `${account.before}${account.path} ssh-ed25519 ${base64} open\n# last\n`,
    );
    const closed = await asJson(b.operator(['sshkey', 'deploy', ...opens]));

    t.match(
      [first, again, closed],
      [
        { changed: true, user: 'ana' },
        { changed: false, user: 'ana' },
        { changed: true, user: 'ana' },
      ],
    );
    const [hand, theirs, line, ...rest] = text.split('\n');
    t.equal(`${hand}\n${theirs}\n`, account.before, 'what was there stays');
    t.match(line, /^restrict,command="exec [^"]*shell --key-id [0-9a-f-]{36}" ssh-ed25519 \S+$/);
    t.same(rest, ['']);
    t.equal(readFileSync(account.file, 'utf8'), `${account.before}${line}\n# last\n`);
    t.equal(statSync(account.file).mode & 0o777, 0o600);
    t.same(readdirSync(join(account.file, '..')), ['authorized_keys'], 'and nothing is left over');
    t.match(await asServer(account.port, user, 'cat /etc/passwd'), { status: 2, stdout: '' });
    t.match(await asServer(account.port, user, 'whoami'), { status: 0, stdout: /^ana\n/ });

    const seen = await asJson(b.operator(['sshkey', 'fetch', ...opens]));
    t.match(seen, { changed: false, address: account.address });
  },
);

t.test(
  'who is not the operator, names no host key or has no key that opens is told so',
  async (t) => {
    const stranger = await generateKey(join(b.folder, 'stranger'));
    const named = ['--fingerprint', hqKey];
    const other = `SHA256:${'A'.repeat(43)}`;
    const cases: [words: string[], status: number, said: RegExp][] = [
      [[hqUrl], 2, /needs --fingerprint/],
      [[hqUrl, '--fingerprint', other], 4, /host key is SHA256.*, expected/],
      [['cpm@127.0.0.1:1', ...named], 6, /shows no host key/],
      [[hqUrl, ...named, '--identity', '/nowhere/key'], 2, /can't be read: ENOENT/],
      [['nosuch'], 3, /no such server/],
      [['-oProxyCommand=x@h'], 2, /no flag/],
      [['x y@127.0.0.1'], 2, /neither a server's name nor/],
      [['root@-oProxyCommand=x'], 2, /neither/],
      [['root@h:0'], 2, /neither/],
      [['Hq'], 2, /Hq/],
      [[hqUrl, ...named, '--only', other], 2, /--only/],
    ];
    for (const [words, status, said] of cases) {
      const only = words.includes('--only');
      for (const verb of only ? ['fetch'] : ['deploy', 'fetch']) {
        const answer = await b.operator(['sshkey', verb, ...words]);
        t.match(answer, { status, stdout: '', stderr: said }, `${verb} ${words.join(' ')}`);
      }
    }
    await newOwnKey();
    t.match(
      await b.operator(['sshkey', 'deploy', hqUrl, ...named, '--identity', stranger.privatePath]),
      { status: 4, stderr: /takes none of the keys.*\nhint: .*--identity FILE/ },
    );
    for (const verb of ['deploy', 'fetch']) {
      t.match(await b.admin.ssh(`sshkey ${verb} hq`), { status: 4, stdout: '' });
      t.match(await b.admin.ssh(`sshkey ${verb} hq --identity x`), { status: 2, stdout: '' });
    }
  },
);
