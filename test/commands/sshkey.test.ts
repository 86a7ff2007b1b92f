import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { generateKey, type KeyPair } from '../support/person.ts';
import { must, run } from '../support/process.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t);
const ana = await house.person('ana');
await house.operator('user add bo');
let made = 0;
const newKey = () => generateKey(join(ana.home, `key-${made++}`));
const nothing = `SHA256:${'A'.repeat(43)}`;

/** Runs words over ssh with another key of the person. */
function withKey(key: KeyPair, line: string) {
  const args = [...ana.sshOptions(), '-p', String(house.port), 'cpm@127.0.0.1', line];
  args[args.indexOf(ana.key.privatePath)] = key.privatePath;
  return run('ssh', args, { env: { HOME: ana.home } });
}

for (const door of doors(house)) {
  t.test(
    `${door.name}: an admin's word puts a key in force; added again it stays as it is`,
    async (t) => {
      const key = await newKey();
      const line = 'sshkey add - --user ana --title laptop --expires 2099-12-31';

      const added = await json(door, line, { stdin: key.line });
      t.match(added, {
        changed: true,
        id: /^[0-9a-f-]{36}$/,
        fingerprint: key.fingerprint,
        state: 'active',
      });
      t.match(await json(door, line, { stdin: key.line }), {
        ...(added as object),
        changed: false,
      });
      t.match(await withKey(key, 'whoami'), {
        status: 0,
        stdout: /^ana\n.* \(laptop\), until 2099-12-31T/,
      });
      const keys = (await json(door, 'sshkeys list --user ana')) as { fingerprint: string }[];
      t.match(
        keys.find(({ fingerprint }) => fingerprint === key.fingerprint),
        {
          type: 'ssh-ed25519',
          title: 'laptop',
          owner: 'ana',
          state: 'active',
          expires_at: '2099-12-31T00:00:00.000Z',
          added_by: door.name === 'ssh' ? 'user:ada' : 'operator',
          last_used_at: /^\d{4}-/,
        },
      );
      t.match(await json(door, 'pubkey list --user bo'), []);
    },
  );

  t.test(`${door.name}: a key belongs to one user, and a dry run adds none`, async (t) => {
    const key = await newKey();
    const stdin = key.line;

    t.match(await json(door, 'sshkey add - --user bo --dry-run', { stdin }), {
      changed: true,
      state: 'active',
    });
    t.strictSame(await json(door, 'sshkey list --user bo'), []);
    t.match(
      await door.run(words('sshkey add - --user bo'), { stdin: ana.key.line }),
      refused(5, /is in use already/, /ssh-keygen/),
    );
    t.match(
      await door.run(words('sshkey add - --user nosuch'), { stdin }),
      refused(3, /nosuch: no such user/),
    );
  });

  t.test(`${door.name}: what is no key, no time and no fingerprint`, async (t) => {
    const cases: [string, string, RegExp][] = [
      ['sshkey add - --user bo', '', /no key was given/],
      ['sshkey add - --user bo', 'ssh-ed25519 AAAA\n', /^cpm: /],
      ['sshkey add - --user bo', readFileSync(ana.key.privatePath, 'utf8'), /^cpm: /],
      ['sshkey add - --user bo --expires soon', ana.key.line, /"soon" is not a time/],
      ['sshkey add', '', /FILE is missing/],
      ['sshkey revoke MD5:00 --yes', '', /"MD5:00" is not a fingerprint/],
      ['sshkey revoke --yes', '', /either a FINGERPRINT or --all/],
      [`sshkey revoke ${nothing} --all --yes`, '', /either a FINGERPRINT or --all/],
      ['sshkey show x', '', /"x" is not a fingerprint/],
    ];
    for (const [line, stdin, why] of cases) {
      const answer = await door.run(words(line), { stdin });
      t.match(answer, refused(2, why), line);
      t.notMatch(answer.stderr, /PRIVATE|b3Blbn/, 'nothing of a key is shown');
    }
  });

  t.test(
    `${door.name}: a revoked key is out at once, for good, and asking needs --yes`,
    async (t) => {
      const key = await newKey();
      await json(door, 'sshkey add - --user ana', { stdin: key.line });
      const line = `sshkey revoke ${key.fingerprint}`;

      t.match(await door.run(words(line)), refused(2, /it needs --yes/, /--dry-run/));
      t.match(await json(door, `${line} --dry-run`), { changed: true, revoked: 1 });
      t.match(await withKey(key, 'whoami'), { status: 0 });
      t.match(
        await json(door, `${line} --yes`),
        { changed: true, revoked: 1 },
        "also somebody else's, without --user",
      );
      t.match(await withKey(key, 'whoami'), { status: 255 });
      t.match(await json(door, `${line} --yes`), { changed: false, revoked: 0 });
      t.match(
        await door.run(words('sshkey add - --user ana'), { stdin: key.line }),
        refused(5, /was revoked and is never accepted again/),
      );
      t.match(
        await door.run(words(`sshkey revoke ${nothing} --yes`)),
        refused(3, /no such key/, /sshkey list/),
      );
    },
  );
}

t.test("a key of one's own waits for the proof that one has its private half", async (t) => {
  const key = await newKey();
  const mine = doorOf(ana);

  t.match(await json(mine, 'sshkey add - --title second', { stdin: key.line }), {
    changed: true,
    state: 'pending',
  });
  t.match(await ana.ssh('sshkey add -', { stdin: key.line }), {
    status: 0,
    stdout: /is pending\.\n.*sshkey verify SHA256:/,
  });
  t.match(await withKey(key, 'whoami'), { status: 255 });

  const verify = `sshkey verify ${key.fingerprint}`;
  const { challenge } = (await json(mine, verify, { stdin: '' })) as { challenge: string };
  const file = join(ana.home, 'challenge');
  const sign = async (text: string, namespace: string, by: KeyPair) => {
    writeFileSync(file, text);
    await must('rm', ['-f', `${file}.sig`]);
    await must('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', by.privatePath, file]);
    return readFileSync(`${file}.sig`, 'utf8');
  };
  const wrong = [
    await sign(challenge, 'cpm-key', ana.key),
    await sign(challenge, 'file', key),
    await sign(`${challenge}x`, 'cpm-key', key),
    'no signature',
  ];
  for (const stdin of wrong) t.match(await ana.ssh(verify, { stdin }), { status: 4 });
  t.match(await withKey(key, 'whoami'), { status: 255 });

  const stdin = await sign(challenge, 'cpm-key', key);
  t.match(await json(mine, verify, { stdin }), { changed: true, state: 'active' });
  t.match(await withKey(key, 'whoami'), { status: 0, stdout: /^ana\n/ });
  t.match(await json(mine, verify, { stdin }), { changed: false, state: 'active' });
});

t.test('users add, list and revoke their own keys alone', async (t) => {
  const mine = (await json(doorOf(ana), 'sshkey list')) as { owner: string }[];
  t.ok(mine.length > 0 && mine.every(({ owner }) => owner === 'ana'));
  const everybodys = (await json({ run: house.operator.bind(house) }, 'sshkey list')) as {
    owner: string;
  }[];
  t.ok(everybodys.some(({ owner }) => owner === 'ada') && everybodys.length > mine.length);
  t.match(await ana.ssh('sshkey list --user ada'), refused(4, /only ada and a site admin/));
  t.match(await ana.ssh('sshkey add - --user ada', { stdin: (await newKey()).line }), {
    status: 4,
  });
  t.match(
    await ana.ssh(`sshkey revoke ${house.admin.key.fingerprint} --yes`),
    refused(3, /no such key \(you are ana\)/),
    'of others not even whether they exist',
  );
  t.match(await ana.ssh(`sshkey revoke ${nothing} --yes`), { status: 3 });
});

t.test('all keys of a user at once, the one that asks too', async (t) => {
  t.match(await json(doorOf(ana), 'sshkey revoke --all --yes'), { changed: true });
  t.match(await ana.ssh('whoami'), { status: 255 });
  const operator = { run: house.operator.bind(house) };
  t.match(
    await json(operator, 'audit list --user ana --limit 1'),
    [{ action: 'sshkey revoke', outcome: 'ok' }],
    'what was done is no interruption',
  );
});

t.test('a key pair is made on the machine itself, and never over another', async (t) => {
  const operator = { run: house.operator.bind(house) };
  const out = join(house.folder, 'deploy');

  t.match(await json(operator, `sshkey generate --name deploy --out ${out} --dry-run`), {
    changed: true,
  });
  t.throws(() => statSync(out));
  const pair = await json(operator, 'sshkey generate --name deploy --out ./deploy --comment robot');
  t.match(pair, {
    changed: true,
    fingerprint: /^SHA256:/,
    private_key: out,
    public_key: `${out}.pub`,
  });
  t.equal(statSync(out).mode & 0o777, 0o600);
  t.equal(statSync(`${out}.pub`).mode & 0o777, 0o644);
  t.match(
    (await must('ssh-keygen', ['-y', '-f', out])).stdout,
    readFileSync(`${out}.pub`, 'utf8').split(' ')[1] ?? '?',
  );
  t.match(
    await house.operator('sshkey generate --out ./deploy'),
    refused(5, /there is a file already/),
  );
  t.match(
    await house.admin.ssh('sshkey generate'),
    refused(4, /only the operator, on the machine itself,/),
  );
  t.match(
    await house.admin.ssh('sshkey generate --out x'),
    refused(2, /--out names a file on the server/),
  );
});
