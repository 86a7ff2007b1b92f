import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import { asJson, done, verifyKey } from '../support/keys.ts';
import { generateKey, Person } from '../support/person.ts';

// Faults that other servers for git have had with keys; each title names the class.

const house = await House.open(t);
const ana = await house.person('ana');
const bo = await house.person('bo');
await done(ana.ssh('init ana/app'));
await done(ana.ssh('init ana/other'));
const work = await ana.worktree();
await done(ana.git(['push', '-q', ana.url('ana/app'), 'main'], { cwd: work }));

/** The same person at another machine. */
const machine = (name: string) =>
  Person.create(name, join(house.folder, name), { port: () => house.port });

t.test(
  'class, a deploy key that acts as who made it: it reaches and signs nothing of theirs',
  async (t) => {
    const robot = await machine('robot');
    const add = 'sshkey add - --repo ana/app --right write';
    await done(ana.ssh(add, { stdin: robot.key.line }));
    await verifyKey(ana, robot.key);

    for (const repo of ['ana/other', 'ana/new', 'app', 'other']) {
      const push = ['push', robot.url(repo), 'main:by-robot'];
      t.match(
        await robot.git(push, { cwd: work }),
        { status: 128, stderr: /no such repository/ },
        repo,
      );
    }
    await done(robot.git(['push', '-q', robot.url('ana/app'), 'main:by-robot'], { cwd: work }));
    const [row] = await asJson(
      house.operator('audit list --action git-receive-pack --limit 1 --json'),
    );
    t.match(
      row,
      { principal: `key:${robot.key.fingerprint}`, outcome: 'ok' },
      'under its own name',
    );

    await done(house.operator('user disable ana'));
    t.match(await robot.git(['ls-remote', robot.url('ana/app')]), { status: 0 }, 'it is nobody’s');
    await done(house.operator('user enable ana'));
    await done(ana.ssh(`repo access revoke ana/app key:${robot.key.fingerprint}`));
    t.match(await robot.git(['ls-remote', robot.url('ana/app')]), { status: 128 });
  },
);

t.test(
  'class, a lesser credential that makes a greater one: keys with an end, pending, deploy',
  async (t) => {
    const [short, robot, next] = [
      await machine('short'),
      await machine('short-bot'),
      await machine('next'),
    ];
    await done(house.operator(`sshkey add ${short.key.publicPath} --user bo --expires 1d`));
    await done(house.operator(`sshkey add ${robot.key.publicPath} --repo ana/app --right write`));
    const { line } = next.key;

    for (const words of [
      'sshkey add -',
      `sshkey rotate ${short.key.fingerprint} --key - --expires 2d`,
    ]) {
      t.match(
        await short.ssh(words, { stdin: line }),
        { status: 4, stderr: /lasts longer/ },
        words,
      );
      t.match(
        await robot.ssh(words, { stdin: line }),
        { status: 4, stderr: /a user's key/ },
        words,
      );
      t.match(await next.ssh(words, { stdin: line }), { status: 255, stdout: '' }, 'a stranger');
    }
    await done(bo.ssh('sshkey add -', { stdin: line }));
    t.match(await next.ssh('sshkey add -', { stdin: line }), { status: 255 }, 'nor a pending key');
    t.match(await house.operator(`sshkey show ${next.key.fingerprint} --json`), {
      stdout: /"state":"pending"/,
    });
  },
);

t.test(
  'class, taking one key away takes others along: only it and what it added end',
  async (t) => {
    const [one, two] = [await machine('one'), await machine('two')];
    for (const { key } of [one, two])
      await done(house.operator(`sshkey add ${key.publicPath} --user bo`));

    await done(bo.ssh(`sshkey revoke ${one.key.fingerprint} --yes`));

    t.match(await one.ssh('whoami'), { status: 255 });
    for (const who of [two, bo, ana, house.admin])
      t.match(await who.ssh('whoami'), { status: 0 }, who.name);
  },
);

t.test(
  'class, a key that is there and not known: it counts from the next connection on',
  async (t) => {
    const [fresh, other] = [await machine('fresh'), await machine('other')];
    await done(ana.ssh('sshkey add - --title fresh', { stdin: fresh.key.line }));
    await done(house.operator(`sshkey add ${other.key.publicPath} --user bo`));
    await verifyKey(ana, fresh.key);

    t.match(await fresh.git(['ls-remote', fresh.url('ana/app')]), { status: 0 }, 'a private one');
    t.match(await asJson(fresh.ssh('whoami --json')), {
      user: 'ana',
      key: fresh.key.fingerprint,
      key_title: 'fresh',
    });
    t.match(await fresh.ssh([]), {
      stdout: new RegExp(`key: ${fresh.key.fingerprint.replaceAll('+', '\\+')} `),
    });
    // With many keys offered, the one that signs counts, in whatever order they are known.
    const options = ['-i', fresh.key.privatePath, '-i', other.key.privatePath];
    const stranger = await machine('stranger');
    t.match(await stranger.ssh('whoami', { options }), { status: 0, stdout: /^ana\n/ });
  },
);

t.test(
  "class, keys that admins can't see or end: a site admin may all, an admin what is there",
  async (t) => {
    const [robot, laptop] = [await machine('seen-bot'), await machine('seen-laptop')];
    await done(house.operator(`sshkey add ${robot.key.publicPath} --repo ana/other --right read`));
    await done(house.operator(`sshkey add ${laptop.key.publicPath} --user bo --expires 90d`));

    t.match(await asJson(ana.ssh('sshkey list --repo ana/other --json')), [
      { fingerprint: robot.key.fingerprint, expires_at: null, last_used_at: null },
    ]);
    t.match(await asJson(house.admin.ssh(`sshkey show ${laptop.key.fingerprint} --json`)), {
      owner: 'bo',
      added_by: 'operator',
      expires_at: /^20/,
    });
    t.match(await ana.ssh(`sshkey revoke ${laptop.key.fingerprint} --yes`), { status: 3 });
    const next = await generateKey(join(house.folder, 'seen-next'));
    t.match(
      await house.admin.ssh(`sshkey rotate ${laptop.key.fingerprint} --key -`, {
        stdin: next.line,
      }),
      { status: 0 },
    );
    t.match(await house.admin.ssh(`sshkey revoke ${next.fingerprint} --yes`), { status: 0 });
    t.match(await ana.ssh(`sshkey revoke ${robot.key.fingerprint} --yes`), { status: 0 });
    t.match(await asJson(ana.ssh('sshkey list --repo ana/other --json')), []);
  },
);

t.test(
  'class, one key for a user and for a repository: each blob is one thing alone',
  async (t) => {
    const robot = await machine('one-thing');
    await done(house.operator(`sshkey add ${robot.key.publicPath} --repo ana/app --right read`));

    for (const words of ['sshkey add -', 'sshkey add - --user bo', 'user add eve --key -']) {
      const { status, stderr } = await house.admin.ssh(words, { stdin: robot.key.line });
      t.equal(status, 5, words);
      t.match(stderr, /is in use already/);
    }
    const bind = 'sshkey add - --repo ana/app --right read';
    t.match(await house.admin.ssh(bind, { stdin: bo.key.line }), { status: 5 });
    t.match(
      await bo.git(['ls-remote', bo.url('ana/app')]),
      { status: 128 },
      'bo reaches it no more',
    );
  },
);

t.test(
  'test 10: keys stay with who or what was renamed; nobody gets them with the old name',
  async (t) => {
    const cy = await house.person('cy');
    const robot = await machine('renamed-bot');
    await done(ana.ssh('init ana/before'));
    await done(
      house.operator(`sshkey add ${robot.key.publicPath} --repo ana/before --right write`),
    );
    const key = `key:${robot.key.fingerprint}`;

    await done(house.operator('user rename cy cyan'));
    await done(ana.ssh('repo rename ana/before after'));

    t.match(await cy.ssh('whoami'), { status: 0, stdout: /^cyan\n/ });
    t.match(await asJson(house.operator('sshkey list --user cyan --json')), [{ owner: 'cyan' }]);
    t.match(await house.operator('user add cy'), { status: 5 }, 'the name stays reserved');
    t.match(await robot.git(['ls-remote', robot.url('ana/after')]), { status: 0 });
    t.match(await robot.git(['ls-remote', robot.url('ana/before')]), { status: 0 }, 'reads follow');
    const push = (repo: string) => robot.git(['push', robot.url(repo), 'main'], { cwd: work });
    const late = await push('ana/before');
    t.not(late.status, 0);
    t.match(late.stderr, /ana\/after/, 'a push is told the new name');
    t.match(await push('ana/after'), { status: 0 });
    t.match(await asJson(ana.ssh('repo access list ana/after --json')), [{ who: key }]);
    await done(house.operator('user release cy'));
    await done(house.operator('user add cy'));
    t.same(await asJson(house.operator('sshkey list --user cy --json')), []);
    t.match(
      await cy.ssh('whoami'),
      { stdout: /^cyan\n/ },
      'and the key is still the renamed one’s',
    );
  },
);
