import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { doorOf, json, refused } from '../commands/scenario.ts';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';

const house = await House.open(t);
const { admin } = house;
const ana = await house.person('ana');
const bo = await house.person('bo');
const eve = await house.person('eve');
const work = await ana.worktree();
await ana.git(['push', '-q', ana.url('app'), 'main'], { cwd: work });
await ana.ssh('repo access grant app bo write');
await ana.ssh('org create acme');
await ana.git(['push', '-q', ana.url('acme/lib'), 'main'], { cwd: work });
await ana.ssh('repo rename acme/lib core');
await ana.ssh('org member add acme bo');

const asJson = (person: Person, line: string) => json(doorOf(person), line);
const folder = (name: string) => join(house.dataDir, 'repositories', name);
const done = { status: 0 };

t.test('S6 / test 10: a renamed user keeps all, and the old name leads readers on', async (t) => {
  const { id } = (await asJson(ana, 'show app')) as { id: string };
  t.match(await ana.ssh('user rename ana anna'), refused(4, /only a site admin/));
  t.match(await asJson(admin, 'user rename ana anna --dry-run'), { changed: true });
  t.match(await ana.ssh('whoami'), { stdout: /ana/ });
  t.ok(existsSync(folder('ana')));

  t.match(await asJson(admin, 'user rename ana anna'), { changed: true, name: 'anna' });

  t.match(await asJson(admin, 'user rename anna anna'), { changed: false });
  t.notOk(existsSync(folder('ana')));
  t.ok(existsSync(join(folder('anna'), 'app.git')));
  t.match(await asJson(ana, 'whoami'), { user: 'anna' });
  t.match(await asJson(ana, 'list --namespace anna'), [{ name: 'anna/app', id, right: 'owner' }]);
  t.match(await asJson(ana, 'show app'), { name: 'anna/app', id });
  t.match(await asJson(ana, 'org show acme'), {
    members: [
      { user: 'anna', role: 'owner' },
      { user: 'bo', role: 'member' },
    ],
  });
  const clone = await bo.git(['clone', '-q', bo.url('ana/app'), 'app']);
  t.match(clone, {
    status: 0,
    stderr: /^ana\/app is called anna\/app now: ssh:.*\/anna\/app\.git$/m,
  });
  const push = await bo.git('push origin main:more', { cwd: join(bo.home, 'app') });
  t.match(push, {
    status: 128,
    stderr:
      /cpm: ana\/app is called anna\/app now.*\nhint: git remote set-url origin ssh:.*\/anna\/app\.git/,
  });
  t.match(await bo.git(['push', '-q', bo.url('anna/app'), 'main:more'], { cwd: work }), done);
  t.match(await eve.ssh('show ana/app'), { status: 3, stderr: /^cpm: ana\/app: no such reposit/ });
  const all = (await asJson(admin, 'audit list --user anna --limit 500')) as {
    principal: string;
  }[];
  t.ok(
    all.some(({ principal }) => principal === 'user:ana'),
    'also what was done by the old name',
  );
});

t.test(
  'S6 / test 10: nobody takes the old name of a user or organization by any verb',
  async (t) => {
    await admin.ssh('org create guild');
    t.match(await asJson(admin, 'org rename guild lodge'), { changed: true, name: 'lodge' });

    for (const old of ['ana', 'guild']) {
      const why = new RegExp(
        `the name ${old} belonged to (a user|an org) before and stays reserved`,
      );
      t.match(await eve.ssh(`org create ${old}`), refused(5, why), old);
      t.match(await admin.ssh(`user add ${old}`), refused(5, why), old);
      t.match(await admin.ssh(`user rename eve ${old}`), refused(5, why), old);
      t.match(await admin.ssh(`org rename acme ${old}`), refused(5, why), old);
      t.match(await eve.ssh(`init ${old}/new`), refused(4, new RegExp(`${old} is called`)), old);
      const push = await eve.git(['push', eve.url(`${old}/new`), 'main'], { cwd: work });
      t.match(push, { status: 128, stderr: /no such repository, or not yours to see/ }, old);
      t.match(await eve.ssh(`user show ${old}`), { status: 4 });
    }
    t.match(await admin.ssh('user rename bo eve'), refused(5, /user eve exists already/));
    t.match(await admin.ssh('user rename bo acme'), refused(5, /org acme exists already/));
    t.match(await admin.ssh('user rename bo root'), refused(2, /"root" is a reserved name/));
    t.match(await admin.ssh('user rename bo Bo'), refused(2, /capitals are not allowed/));
    t.match(await admin.ssh('user rename nemo x'), refused(3, /nemo: no such user/));
  },
);

t.test(
  'S5 S6 a released name is another’s, and leads to nothing of its former owner',
  async (t) => {
    t.match(
      await asJson(admin, 'user rename anna ana'),
      { changed: true },
      'its owner takes it back',
    );
    t.match(await ana.ssh('repo alias add ana/apple app'), done);
    t.match(await asJson(ana, 'show anna/app'), { name: 'ana/app' });
    t.match(await asJson(admin, 'user rename ana anna'), { changed: true });
    t.match(await admin.ssh('user release anna'), refused(5, /in use by a user/));
    t.match(await bo.ssh('user release ana'), refused(4, /only a site admin/));

    t.match(await asJson(admin, 'user release ana'), { changed: true });

    t.match(await bo.ssh('show ana/app'), { status: 3 });
    t.match(await asJson(admin, 'repo alias list'), [], 'an alias under the name is gone, too');
    const other = await house.person('ana2');
    t.match(await asJson(admin, 'user rename ana2 ana'), { changed: true });
    t.match(await asJson(other, 'list'), []);
    t.match(await other.ssh('show ana/app'), { status: 3 });
    t.match(await other.ssh('init app'), done);
    t.match(await asJson(bo, 'show anna/app'), { name: 'anna/app' });
    t.match(await bo.ssh('show ana/app'), { status: 3 }, 'what is there now is private');
  },
);

t.test(
  'a renamed organization: members, teams, grants and old names of its repositories',
  async (t) => {
    await ana.ssh('org team add acme devs bo');
    await ana.ssh('org access grant acme team:acme/devs write');
    t.match(await bo.ssh('org rename acme works'), refused(4, /it takes the role owner/));

    t.match(await asJson(ana, 'org rename acme works'), { changed: true, name: 'works' });

    t.match(await asJson(ana, 'org rename works works'), { changed: false });
    t.match(await asJson(bo, 'org show works'), { teams: [{ name: 'devs', users: ['bo'] }] });
    t.match(await bo.ssh('org show acme'), refused(3, /acme: no such organization/));
    t.match(await asJson(bo, 'show works/core'), { name: 'works/core', right: 'write' });
    for (const old of ['acme/core', 'acme/lib', 'works/lib']) {
      const answer = await bo.ssh(`show ${old}`);
      t.match(answer, { status: 0, stderr: `${old} is called works/core now\n` }, old);
      const push = await bo.git(['push', bo.url(old), 'main:x'], { cwd: work });
      t.match(push, { status: 128, stderr: /set-url origin ssh:.*\/works\/core\.git/ }, old);
    }
    t.match(await bo.git(['push', '-q', bo.url('works/core'), 'main:x'], { cwd: work }), done);
    t.match(await asJson(admin, 'org rename works acme'), { changed: true });
    t.match(await asJson(bo, 'show acme/core'), { name: 'acme/core' });
  },
);

t.test('a connection that stays open over a rename goes on by the new name', async (t) => {
  const path = join(eve.home, 'cm');
  const options = [
    '-o',
    'ControlMaster=auto',
    '-o',
    `ControlPath=${path}`,
    '-o',
    'ControlPersist=30',
  ];
  t.match(await eve.ssh('init mine', { options }), done);

  await admin.ssh('user rename eve eva');

  t.match(JSON.parse((await eve.ssh('whoami --json', { options })).stdout), { user: 'eva' });
  t.match(await eve.ssh('show mine', { options }), { status: 0, stdout: /^eva\/mine/ });
  t.match(await eve.ssh('init next', { options }), { status: 0, stdout: /eva\/next/ });
  t.match(await asJson(admin, 'audit list --action init --limit 1'), [{ principal: 'user:eva' }]);
  await eve.ssh('', { options: [...options, '-O', 'exit'] });
});

t.test(
  'a repository called like a user, or the reverse, gives no right over the other',
  async (t) => {
    await bo.ssh('init anna');
    await bo.ssh('init admin');
    for (const line of ['user rename anna x', 'user offboard anna --yes', 'org rename acme x']) {
      t.match(await bo.ssh(line), { status: 4 }, line);
    }
    t.match(await bo.ssh('repo rename anna eva/anna'), refused(4, /may not create repositories/));
    t.match(await bo.ssh('show anna/app'), done);
  },
);
