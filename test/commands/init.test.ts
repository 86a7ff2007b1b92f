import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t);
const entrances = doors(house);
const ana = await house.person('ana');
await house.operator('org create acme');
await house.operator('org member add acme ana');

const place = (name: string) => join(house.dataDir, 'repositories', `${name}.git`);

for (const door of entrances) {
  t.test(`${door.name}: a repository is made, told and there`, async (t) => {
    const name = `acme/${door.name}`;
    const made = await json(door, `init ${name} --visibility internal --default-branch trunk`);

    t.match(made, {
      changed: true,
      id: /^[0-9a-f-]{36}$/,
      name,
      clone_url: /^ssh:\/\/cpm@.+:\d+\//,
    });
    t.equal(statSync(place(name)).mode & 0o777, 0o700);
    t.match(await json(door, `show ${name}`), {
      id: (made as { id: string }).id,
      visibility: 'internal',
      default_branch: 'trunk',
      clone_url: (made as { clone_url: string }).clone_url,
    });
    const text = await door.run(words(`init ${name}-2`));
    t.match(text, {
      status: 0,
      stderr: '',
      stdout: new RegExp(`^Created ${name}-2\nssh://.*/${name}-2.git\n$`),
    });
  });

  t.test(
    `${door.name}: a bare name lies in the own namespace, the operator's is the default one`,
    async (t) => {
      t.match(await json(door, `init bare-${door.name}`), {
        name: `ada/bare-${door.name}`,
        changed: true,
      });
      t.match(await json(door, `show bare-${door.name}`), {
        visibility: 'private',
        default_branch: 'main',
      });
    },
  );

  t.test(`${door.name}: an existing one is a conflict, and none with --exist-ok`, async (t) => {
    const made = await json(door, `init again-${door.name} --description first`);

    t.match(
      await door.run(words(`init again-${door.name}`)),
      refused(5, /^cpm: ada\/again-\w+: this repository exists already/, /show ada/),
    );
    t.match(await json(door, `init again-${door.name} --description second --exist-ok`), {
      changed: false,
      id: (made as { id: string }).id,
    });
    t.match(
      await json(door, `show again-${door.name}`),
      { description: 'first' },
      'nothing changed',
    );
    t.match(await door.run(words(`init again-${door.name} --exist-ok`)), {
      status: 0,
      stdout: /^There already: /,
    });
  });

  t.test(`${door.name}: a dry run makes nothing, and meets the same refusals`, async (t) => {
    const name = `dry-${door.name}`;
    const dry = await door.run(words(`init ${name} --dry-run`));

    t.match(dry, { status: 0, stderr: 'dry run: nothing was changed\n' });
    t.notOk(existsSync(place(`ada/${name}`)));
    t.match(await door.run(words(`show ${name}`)), { status: 3 });
    t.match(await door.run(words(`init bare-${door.name} --dry-run`)), { status: 5 });
    t.match(await door.run(words(`init ${name} --dry-run --quiet`)), { status: 0, stderr: '' });
    t.match(await json(door, `init ${name}`), { changed: true });
  });

  t.test(`${door.name}: what is no repository's name makes nothing`, async (t) => {
    const bad = [
      '../x',
      'a/../../b',
      'a/b/c',
      'App',
      'acme/App',
      'x.lock',
      'acme/.git',
      '--upload-pack=x/y',
      'a b',
      "a'b",
      'a\nb',
      '\x1b[31m',
      'a\\b',
      'x'.repeat(64),
    ];
    for (const name of bad)
      t.match(
        await door.run(['init', name]),
        { status: 2, stdout: '', stderr: /^cpm: / },
        JSON.stringify(name),
      );
    t.match(
      await door.run(['init', 'nosuch/app']),
      refused(3, /nosuch: no such user or organization/, /org create nosuch/),
    );
    for (const flag of [
      '--visibility=secret',
      '--default-branch=a..b',
      '--default-branch=refs/heads/x',
      `--description=a\nb`,
    ])
      t.match(
        await door.run(['init', 'fine', flag]),
        { status: 2, stdout: '' },
        JSON.stringify(flag),
      );
    t.match(await door.run(words('show fine')), { status: 3 });
  });

  t.test(`${door.name}: habits and plurals make the same`, async (t) => {
    const lines = ['create', 'repo create', 'repo init', 'repos init'];
    for (const [index, line] of lines.entries())
      t.match(await json(door, `${line} habit-${door.name}-${index}`), { changed: true }, line);
  });
}

t.test('a member makes repositories at home, and in an organization from admin on', async (t) => {
  const door = doorOf(ana);

  t.match(await json(door, 'init notes'), { name: 'ana/notes' });
  t.match(
    await ana.ssh('init acme/mine'),
    refused(
      4,
      /^cpm: acme: you may not create repositories there \(you are ana\)/,
      /ask an owner of acme/,
    ),
  );
  t.match(await ana.ssh('init ada/mine'), refused(4, /^cpm: ada: you may not create/, /your own/));
  t.notOk(existsSync(place('acme/mine')));
  await house.operator('org member role acme ana admin');
  t.match(await json(door, 'init acme/mine'), { changed: true });
});

t.test('an existing repository of others is not told apart from a missing one', async (t) => {
  await house.operator('init ada/secret');
  const hidden = await ana.ssh('init ada/secret');
  const missing = await ana.ssh('init ada/nothing');
  t.equal(hidden.status, 4);
  t.equal(hidden.stderr, missing.stderr);
});

t.test('what is made is a plain bare repository that git finds in order', async (t) => {
  const work = await ana.worktree();

  t.match(await ana.git(['push', '-q', ana.url('notes'), 'main'], { cwd: work }), { status: 0 });
  t.match(await ana.git(['fsck', '--strict'], { cwd: place('ana/notes') }), { status: 0 });
  t.match(await ana.git('symbolic-ref HEAD', { cwd: place('ana/notes') }), {
    stdout: 'refs/heads/main\n',
  });
});
