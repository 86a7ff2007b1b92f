import t from 'tap';
import { doors, House } from '../support/house.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t);
const ana = await house.person('ana');

for (const door of doors(house)) {
  const name = (stem: string) => `${stem}-${door.name}`;

  t.test(
    `${door.name}: a user is added with a key from standard input, and signs in`,
    async (t) => {
      const person = await house.stranger(name('bo'));

      t.match(await person.ssh('whoami'), { status: 255 });
      const added = await json(door, `user add ${name('bo')} --key - --email bo@example.org`, {
        stdin: person.key.line,
      });
      t.match(added, { changed: true, id: /^[0-9a-f-]{36}$/, name: name('bo') });
      t.match(await json(doorOf(person), 'whoami'), { user: name('bo'), admin: false });
      t.match(await json(door, `users show ${name('bo')}`), {
        id: (added as { id: string }).id,
        state: 'active',
        admin: false,
        email: 'bo@example.org',
        keys: 1,
        ssh_keys: [{ fingerprint: person.key.fingerprint, title: 'test', state: 'active' }],
      });
      t.match(await door.run(words('user list')), {
        status: 0,
        stdout: new RegExp(`^${name('bo')}\tactive\t\t1\t\\d{4}-`, 'm'),
      });
    },
  );

  t.test(`${door.name}: an existing name is a conflict, and none with --exist-ok`, async (t) => {
    const line = `user add ${name('cy')}`;
    const added = await json(door, `${line} --admin`);

    t.match(
      await door.run(words(line)),
      refused(5, /^cpm: user cy-\w+ exists already/, /user show/),
    );
    t.match(await json(door, `${line} --exist-ok`), { ...(added as object), changed: false });
    t.match(await json(door, `user show ${name('cy')}`), { admin: true }, 'nothing changed');
    await house.operator('org create acme --exist-ok');
    t.match(
      await door.run(words('user add acme')),
      refused(5, /org acme exists already/),
      'one set of names',
    );
  });

  t.test(`${door.name}: a dry run adds, disables and deletes nobody`, async (t) => {
    t.match(await door.run(words(`user add ${name('dry')} --dry-run`)), {
      status: 0,
      stdout: `Added user ${name('dry')}.\n`,
      stderr: 'dry run: nothing was changed\n',
    });
    t.match(await door.run(words(`user show ${name('dry')}`)), { status: 3 });
    t.match(await json(door, 'user disable ana --dry-run'), { changed: true });
    t.match(await json(door, 'user delete ana --dry-run'), { changed: true }, 'without --yes');
    t.match(await json(door, 'user show ana'), { state: 'active' });
    t.match(
      await door.run(words('user delete nosuch --dry-run')),
      { status: 3 },
      'with its refusals',
    );
  });

  t.test(
    `${door.name}: names and keys that are none are refused, and nobody is added`,
    async (t) => {
      for (const bad of ['Bo', 'root', 'cpm', '../bo', 'b o', '\x1b[31m'])
        t.match(
          await door.run(['user', 'add', bad]),
          { status: 2, stdout: '' },
          JSON.stringify(bad),
        );
      for (const stdin of [
        '',
        'no key',
        'ssh-ed25519 AAAA',
        '-----BEGIN OPENSSH PRIVATE KEY-----\n',
      ])
        t.match(
          await door.run(words('user add nobody-new --key -'), { stdin }),
          { status: 2 },
          stdin,
        );
      t.match(
        await door.run(words('user add nobody-new --key -'), { stdin: ana.key.line }),
        refused(5, /is in use already/),
      );
      t.match(
        await door.run(words('user show nobody-new')),
        refused(3, /nobody-new: no such user/, /user list/),
      );
    },
  );

  t.test(`${door.name}: disabled, a user has nothing; enabled, all of it again`, async (t) => {
    const person = await house.person(name('dan'));

    t.match(await json(door, `user disable ${name('dan')}`), { changed: true });
    t.match(await json(door, `user disable ${name('dan')}`), { changed: false });
    t.not((await person.ssh('whoami')).status, 0);
    t.match(await json(door, `user enable ${name('dan')}`), { changed: true });
    t.match(await door.run(words(`user enable ${name('dan')}`)), {
      stdout: 'It was active already.\n',
    });
    t.match(await person.ssh('whoami'), { status: 0 });
    t.match(await door.run(words('user disable nosuch')), { status: 3 });
  });

  t.test(`${door.name}: deletion needs --yes, and the name stays reserved`, async (t) => {
    const person = await house.person(name('eve'));
    const line = `user delete ${name('eve')}`;

    t.match(
      await door.run(words(line)),
      refused(2, /user delete can't be taken back: it needs --yes/, /--dry-run/),
    );
    t.match(await person.ssh('whoami'), { status: 0 });
    t.match(await json(door, `${line} --yes`), { changed: true });
    t.match(await person.ssh('whoami'), { status: 255 });
    t.match(await door.run(words(`${line} --yes`)), { status: 3 });
    t.match(
      await door.run(words(`user add ${name('eve')}`)),
      refused(5, /belonged to a user before and stays reserved/),
    );
    t.match(
      await door.run(words('user delete nosuch')),
      { status: 2 },
      '--yes comes before any look-up',
    );
  });

  t.test(`${door.name}: who owns something is not deleted`, async (t) => {
    await house.operator(`user add ${name('fay')}`);
    await house.operator(`init ${name('fay')}/app`);

    t.match(
      await door.run(words(`user delete ${name('fay')} --yes`)),
      refused(5, /owns repositories, fay-\w+\/app among them/, /user disable/),
    );
  });
}

t.test('users see themselves; the rest is for site admins', async (t) => {
  t.match(await json(doorOf(ana), 'user show ana'), { name: 'ana', keys: 1 });
  t.match(
    await ana.ssh('user show ada'),
    refused(4, /only ada and a site admin may do this \(you are ana\)/),
  );
  t.match(await ana.ssh('user show nosuch'), { status: 4 }, 'before any look-up');
  for (const line of [
    'user list',
    'user add zoe',
    'user disable ada',
    'user enable ada',
    'user delete ada --yes',
  ])
    t.match(await ana.ssh(line), refused(4, /only a site admin may do this/), line);
  t.match(await house.admin.ssh('user show zoe'), { status: 3 });
});
