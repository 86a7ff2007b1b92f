import { join } from 'node:path';
import t from 'tap';
import { commands } from '../../src/commands/index.ts';
import { doors, House } from '../support/house.ts';
import { asJson, done, proofOf } from '../support/keys.ts';
import type { Person } from '../support/person.ts';

const house = await House.open(t);
const ana = await house.person('ana');
const bo = await house.person('bo');

await done(bo.ssh('org create acme'));
await done(bo.ssh('org member add acme ana --role admin'));
for (const repo of ['acme/app', 'acme/lib', 'acme/other', 'ana/own', 'bo/own']) {
  await done(house.operator(`init ${repo} --visibility internal`));
}

t.test('a key of an org reaches its repositories, those of tomorrow too', async (t) => {
  const mirror = await house.stranger('mirror');
  await done(
    house.operator(['sshkey', 'add', mirror.key.publicPath, '--org', 'acme', '--right', 'read']),
  );

  await done(bo.ssh('init acme/tomorrow'));

  t.match(await mirror.git(['ls-remote', mirror.url('acme/tomorrow')]), { status: 0 });
  const work = await mirror.worktree();
  t.match(
    await mirror.git(['push', mirror.url('acme/tomorrow'), 'main'], { cwd: work }),
    { status: 128, stderr: /you may read it, not write \(key:SHA256:.*deploy key of the org/ },
    'it only reads',
  );
  t.match(await mirror.git(['push', mirror.url('acme/made'), 'main'], { cwd: work }), {
    status: 128,
    stderr: /no such repository/,
  });
});

t.test('a pattern limits what a deploy key writes, ref by ref, not what it reads', async (t) => {
  const bot = await house.stranger('bot');
  const work = await bot.worktree();
  await bo.worktree();
  await done(bo.git(['push', '-q', bo.url('acme/app'), 'main'], { cwd: join(bo.home, 'work') }));
  const words = ['sshkey', 'add', '-', '--repo', 'acme/app', '--right', 'write'];
  await done(house.admin.ssh([...words, '--refs', 'ci/*'], { stdin: bot.key.line }));

  const push = await bot.git(
    ['push', bot.url('acme/app'), 'main:ci/ok', 'main:refs/heads/ci/a/b', 'main:refs/tags/v1'],
    { cwd: work },
  );

  t.equal(push.status, 1);
  t.match(push.stderr, /\[new branch\] +main -> ci\/ok/);
  t.match(push.stderr, /ci\/a\/b \(this deploy key writes only ci\/\*\)/);
  t.match(push.stderr, /v1 \(this deploy key writes only ci\/\*\)/);
  t.match(await bot.git(['ls-remote', bot.url('acme/app')]), { stdout: /refs\/heads\/main/ });
  await done(house.admin.ssh([...words, '--refs', 'ci/**'], { stdin: bot.key.line }));
  t.match(await bot.git(['push', bot.url('acme/app'), 'main:refs/heads/ci/c/d'], { cwd: work }), {
    status: 0,
  });
});

t.test('S4 a deploy key of an admin is pending until its other half is proven', async (t) => {
  const key = await house.stranger('proven');
  const words = ['sshkey', 'add', '-', '--repo', 'acme/app', '--right', 'read', '--json'];

  const added = JSON.parse(await done(ana.ssh(words, { stdin: key.key.line })));

  t.match(added, { changed: true, state: 'pending' });
  t.match(await key.git(['ls-remote', key.url('acme/app')]), { stderr: /Permission denied/ });
  const squatted = await bo.ssh(['sshkey', 'add', '-', '--json'], { stdin: key.key.line });
  t.match(JSON.parse(squatted.stdout), { state: 'pending' }, 'it reserves nothing');
  const wrong = await proofOf(ana, bo.key).catch(() => '');
  t.equal(wrong, '', 'there is nothing to sign for a key that was not added');
  const signature = await proofOf(ana, key.key);
  const { fingerprint } = key.key;
  t.match(await bo.ssh(`sshkey verify ${fingerprint}`, { stdin: signature }), {
    status: 4,
    stderr: /no signature by/,
  });
  await done(ana.ssh(`sshkey verify ${fingerprint}`, { stdin: signature }));
  t.match(await key.git(['ls-remote', key.url('acme/app')]), { status: 0 });
  t.match(await bo.ssh(['sshkey', 'add', '-'], { stdin: key.key.line }), {
    status: 5,
    stderr: /in use already/,
  });
});

t.test(
  'S3 a blob is a key of one user or one deploy key, never both, and never again',
  async (t) => {
    const key = await house.stranger('blob');
    const bind = ['sshkey', 'add', '-', '--repo', 'acme/app', '--right', 'read'];
    const ofUser = ['sshkey', 'add', '-', '--user', 'ana'];

    await done(house.admin.ssh(bind, { stdin: key.key.line }));

    for (const { name, run } of doors(house)) {
      t.match(await run(ofUser, { stdin: key.key.line }), { status: 5 }, `deploy first, ${name}`);
      t.match(await run(bind, { stdin: ana.key.line }), { status: 5 }, `user first, ${name}`);
    }
    await done(house.admin.ssh(`sshkey revoke ${key.key.fingerprint} --yes`));
    for (const words of [bind, ofUser]) {
      t.match(await house.admin.ssh(words, { stdin: key.key.line }), {
        status: 5,
        stderr: /was revoked and is never accepted again/,
      });
    }
    t.match(await key.git(['ls-remote', key.url('acme/app')]), { stderr: /Permission denied/ });
  },
);

t.test('who may: admin on each repository, admin of the org; no one else', async (t) => {
  const { line, fingerprint } = (await house.stranger('who')).key;
  const add = (who: Person, ...flags: string[]) =>
    who.ssh(['sshkey', 'add', '-', '--right', 'read', ...flags], { stdin: line });

  t.match(await add(ana, '--repo', 'acme/app', '--repo', 'bo/own'), {
    status: 4,
    stderr: /bo\/own: you may read it, not act as its admin/,
  });
  t.match(await add(ana, '--repo', 'bo/nothing'), { status: 3 });
  await done(bo.ssh('org member role acme ana member'));
  t.match(await add(ana, '--org', 'acme'), { status: 4, stderr: /it takes the role admin/ });
  t.match(await house.operator(`sshkey show ${fingerprint}`), { status: 3 }, 'nothing was added');
  await done(add(bo, '--repo', 'acme/app', '--repo', 'bo/own'));
  await done(bo.ssh('org member role acme ana admin'));
  const seen = JSON.parse(await done(ana.ssh(`sshkey show ${fingerprint} --json`)));
  t.match(seen.bindings, [{ on: 'acme/app' }]);
  t.equal(seen.bindings.length, 1, 'she is shown what she administers');
  t.match(await ana.ssh(`sshkey revoke ${fingerprint} --yes`), {
    status: 4,
    stderr: /bound to more than you administer/,
  });
  for (const fault of [
    ['--repo', 'acme/app', '--org', 'acme', '--right', 'read'],
    ['--repo', 'acme/app'],
    ['--repo', 'acme/app', '--right', 'admin'],
    ['--repo', 'acme/app', '--right', 'read', '--refs', 'ci/*'],
    ['--repo', 'acme/app', '--right', 'write', '--refs', 'ci/***'],
    ['--repo', 'acme/app', '--right', 'write', '--refs', 'a..b'],
    ['--repo', 'acme/app', '--right', 'read', '--user', 'ana'],
    ['--right', 'read'],
    ['--refs', 'ci/*'],
  ]) {
    const answer = await bo.ssh(['sshkey', 'add', '-', ...fault], { stdin: line });
    t.equal(answer.status, 2, fault.join(' '));
  }
});

t.test('S18 who only reads a repository sees neither its deploy keys nor its grants', async (t) => {
  const shown = await asJson(ana.ssh('show bo/own --json'));

  t.match(shown, { right: 'read' });
  t.notOk('keys' in shown || 'grants' in shown);
  t.match(await ana.ssh('sshkey list --repo bo/own'), { status: 4 });
  t.match((await asJson(bo.ssh('show bo/own --json'))).keys, [{ right: 'read' }]);
});

t.test('a binding is given and taken like any grant', async (t) => {
  const key = await house.stranger('bound');
  const who = `key:${key.key.fingerprint}`;
  t.match(await bo.ssh(`repo access grant acme/app ${who} read`), { status: 3 });
  await done(house.admin.ssh('sshkey add - --repo acme/app --right read', { stdin: key.key.line }));

  for (const noun of ['repo access grant acme/lib', 'org access grant acme']) {
    t.match(await bo.ssh(`${noun} ${who} admin`), { status: 2, stderr: /read or write, no more/ });
  }
  await done(bo.ssh(`repo access grant acme/lib ${who} write`));
  await done(bo.ssh(`repo access revoke acme/app ${who}`));

  t.match(await key.git(['ls-remote', key.url('acme/lib')]), { status: 0 });
  t.match(await key.git(['ls-remote', key.url('acme/app')]), { status: 128 });
  await done(bo.ssh(`org access grant acme ${who} read`));
  t.match(await key.git(['ls-remote', key.url('acme/app')]), { status: 0 });
  await done(bo.ssh(`org access revoke acme ${who}`));
  t.match(await key.git(['ls-remote', key.url('acme/app')]), { status: 128 });
  const grants = JSON.parse(await done(bo.ssh('repo access list acme/lib --json')));
  const mine = grants.filter((grant: { who: string }) => grant.who === who);
  t.strictSame(mine, [{ who, right: 'write', via: 'acme/lib' }]);
});

t.test('S3 who loses admin on a repository: the deploy keys made there are listed', async (t) => {
  const key = await house.stranger('left');
  const { fingerprint, line } = key.key;
  await done(bo.ssh('repo access grant bo/own ana admin'));
  await done(ana.ssh('sshkey add - --repo bo/own --right read --title nightly', { stdin: line }));
  await done(ana.ssh(`sshkey verify ${fingerprint}`, { stdin: await proofOf(ana, key.key) }));
  await done(ana.ssh('sshkey add - --repo acme/lib --right read', { stdin: line }));

  const revoked = await bo.ssh('repo access revoke bo/own ana --json');

  t.match(JSON.parse(revoked.stdout), {
    changed: true,
    deploy_keys: [{ fingerprint, title: 'nightly', on: 'bo/own', made_by: 'ana' }],
  });
  t.match(revoked.stderr, /was made by ana and goes on working; end it with: sshkey revoke/);
  t.match(await key.git(['ls-remote', key.url('bo/own')]), { status: 0 }, 'it goes on working');
  const role = JSON.parse(await done(bo.ssh('org member role acme ana member --json')));
  const lost = role.deploy_keys.map(({ on }: { on: string }) => on);
  t.strictSame(
    lost,
    ['acme/app', 'acme/lib'],
    'what she proved before, and this; not bo/own again',
  );
  await done(bo.ssh('org member role acme ana admin'));
  const off = JSON.parse(await done(house.operator('user disable ana --json')));
  t.equal(off.deploy_keys.length, 2, 'an account that is disabled is an admin of nothing');
  await done(house.operator('user enable ana'));
});

t.test('S4 nobody binds a deploy key of others to something of their own', async (t) => {
  const key = await house.stranger('theirs');
  const { fingerprint, line } = key.key;
  await done(house.operator('sshkey add - --repo acme/app --right read', { stdin: line }));
  const cat = await house.person('cat');
  await done(cat.ssh('init cat/bait'));
  const refused = {
    status: 5,
    stderr: /is in use already[\s\S]*only an admin of what it is bound to/,
  };

  t.match(
    await cat.ssh('sshkey add - --repo cat/bait --right read', { stdin: line }),
    refused,
    'by its blob',
  );
  const grant = `repo access grant cat/bait key:${fingerprint} read`;
  t.match(await cat.ssh(grant), refused, 'by its fingerprint');

  t.match((await asJson(bo.ssh(`sshkey show ${fingerprint} --json`))).bindings, [
    { on: 'acme/app' },
  ]);
  await done(house.admin.ssh(grant));
  t.match(await cat.ssh(`sshkey show ${fingerprint}`), { status: 0 }, 'a site admin may');
});

t.test('a right granted again leaves the pattern of what a deploy key writes', async (t) => {
  const { line, fingerprint } = (await house.stranger('patterned')).key;
  const add = 'sshkey add - --repo acme/app --right write --refs ci/*';
  await done(house.operator(add, { stdin: line }));
  const grant = (right: string) => bo.ssh(`repo access grant acme/app key:${fingerprint} ${right}`);
  const binding = async () => (await asJson(bo.ssh(`sshkey show ${fingerprint} --json`))).bindings;

  const again = await grant('write');

  t.match(again, { status: 0, stdout: /already/, stderr: /it writes ci\/\* alone, as before/ });
  t.strictSame(await binding(), [{ on: 'acme/app', right: 'write', refs: 'ci/*' }]);
  await done(grant('read'));
  t.strictSame(await binding(), [{ on: 'acme/app', right: 'read', refs: null }]);
  await done(grant('write'));
  t.strictSame(await binding(), [{ on: 'acme/app', right: 'write', refs: null }]);
});

t.test(
  'test 13: a deploy key runs git, whoami and help: no lesser credential makes another one',
  async (t) => {
    const key = await house.stranger('thirteen');
    const add = ['sshkey', 'add', '-', '--repo', 'acme/app', '--right', 'write'];
    await done(house.admin.ssh(add, { stdin: key.key.line }));
    // One connection for all of them.
    const control = ['ControlMaster=auto', `ControlPath=${join(key.home, 'cm')}`];
    const options = [...control, 'ControlPersist=60'].flatMap((option) => ['-o', option]);
    const allowed = new Set(['whoami', 'help']);
    let denied = 0;

    for (const { words, examples } of commands) {
      for (const example of examples) {
        // Some name files of the machine or what is to be filled in: not over SSH, whoever asks.
        if (words === 'serve' || /\.\/|SEQ:HASH|,…/.test(example)) continue;
        const line = example.replace(/ [<>] \S+$/, '').replace('SHA256:…', key.key.fingerprint);
        const { status, stderr } = await key.ssh(line, { stdin: key.key.line, options });
        t.equal(status, allowed.has(words) ? 0 : 4, `${line}: ${stderr}`);
        if (status === 4) denied += 1;
        // One example will do: a deploy key is told no before anything is looked up.
        break;
      }
    }
    await key.ssh('', { options: [...options, '-O', 'exit'] });
    t.ok(denied > 40, `${denied} commands`);
    t.match(await key.git(['ls-remote', key.url('acme/app')]), { status: 0 });
    const archive = ['archive', `--remote=${key.url('acme/app')}`, 'main'];
    t.match(await key.git(archive), { status: 0 });
  },
);
