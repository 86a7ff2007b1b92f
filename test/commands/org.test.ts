import t from 'tap';
import { doors, House } from '../support/house.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t, { shares: true });
const [ana, bo] = [await house.person('ana'), await house.person('bo')];
await house.operator('user add cy');

for (const door of doors(house)) {
  const org = `org-${door.name}`;

  t.test(`${door.name}: an organization is created, listed and shown`, async (t) => {
    const made = await json(door, `org create ${org} --description Works`);
    t.match(made, { changed: true, id: /^[0-9a-f-]{36}$/ });
    t.match(await door.run(words('orgs list')), {
      status: 0,
      stdout: new RegExp(`^${org}\tWorks$`, 'm'),
    });
    t.strictSame(await json(door, `organization show ${org}`), {
      name: org,
      id: (made as { id: string }).id,
      description: 'Works',
      member_right: 'read',
      members: door.name === 'ssh' ? [{ user: 'ada', role: 'owner' }] : [],
      teams: [],
    });
    t.match(
      await door.run(words(`org create ${org}`)),
      refused(5, /org org-\w+ exists already/, /org show/),
    );
    t.match(await json(door, `org create ${org} --exist-ok`), {
      ...(made as object),
      changed: false,
    });
    t.match(await door.run(words('org create ana')), refused(5, /user ana exists already/));
  });

  t.test(`${door.name}: a dry run creates nothing and changes no role`, async (t) => {
    t.match(await json(door, `org create dry-${org} --dry-run`), { changed: true });
    t.match(
      await door.run(words(`org show dry-${org}`)),
      refused(3, /no such organization/, /org list/),
    );
    t.match(await json(door, `org member add ${org} cy --dry-run`), { changed: true });
    t.strictSame(
      ((await json(door, `org members list ${org}`)) as { user: string }[]).filter(
        ({ user }) => user === 'cy',
      ),
      [],
    );
  });

  t.test(`${door.name}: members come, change and go; done already is done`, async (t) => {
    const steps: [string, object][] = [
      [`org member add ${org} cy`, { changed: true }],
      [`org member add ${org} cy`, { changed: false }],
      [`org members add ${org} cy --role member`, { changed: false }],
      [`org member role ${org} cy owner`, { changed: true }],
      [`org member role ${org} cy owner`, { changed: false }],
      [
        `org member list ${org}`,
        door.name === 'ssh'
          ? [
              { user: 'ada', role: 'owner' },
              { user: 'cy', role: 'owner' },
            ]
          : [{ user: 'cy', role: 'owner' }],
      ],
      [`org member add ${org} bo --role admin`, { changed: true }],
      [`org member remove ${org} bo`, { changed: true }],
      [`org member remove ${org} bo`, { changed: false }],
    ];
    for (const [line, answer] of steps) t.match(await json(door, line), answer, line);
    t.match(
      await door.run(words(`org member add ${org} cy --role admin`)),
      refused(5, /cy has the role owner in org-\w+ already/, /org member role/),
    );
    t.match(
      await door.run(words(`org member role ${org} bo admin`)),
      refused(3, /bo is no member of/, /org member add/),
    );
  });

  t.test(`${door.name}: what is not there, and what is no name or role`, async (t) => {
    const cases: [string, number, RegExp][] = [
      ['org show nosuch', 3, /nosuch: no such organization/],
      ['org member add nosuch ana', 3, /nosuch: no such organization/],
      [`org member add ${org} nosuch`, 3, /nosuch: no such user/],
      [`org member add ${org} ana --role boss`, 2, /"boss" is not a role/],
      [`org member role ${org} ana`, 2, /ROLE is missing/],
      ['org create Acme', 2, /capitals are not allowed/],
      ['org create git', 2, /reserved name/],
      ['org create', 2, /NAME is missing/],
      ['org', 2, /org: what about it\?/],
    ];
    for (const [line, status, why] of cases)
      t.match(await door.run(words(line)), refused(status, why), line);
  });

  t.test(`${door.name}: the last owner stays, and taking a role away needs no --yes`, async (t) => {
    await house.operator(`org create last-${org}`);
    await house.operator(`org member add last-${org} cy --role owner`);

    for (const line of [
      `org member remove last-${org} cy`,
      `org member role last-${org} cy member`,
    ])
      t.match(
        await door.run(words(line)),
        refused(5, /cy is the last owner of/, /org member role/),
        line,
      );
  });
}

t.test('who creates an organization owns it, and the owner alone makes owners', async (t) => {
  t.match(await json(doorOf(ana), 'org create works'), { changed: true });
  t.match(await json(doorOf(ana), 'org show works'), { members: [{ user: 'ana', role: 'owner' }] });
  t.match(await json(doorOf(ana), 'org member add works bo --role admin'), { changed: true });
  t.match(await json(doorOf(bo), 'org member add works cy'), { changed: true });
  t.match(
    await bo.ssh('org member role works cy owner'),
    refused(
      4,
      /works: your role there is admin: you may not change cy from member to owner/,
      /ask an owner/,
    ),
  );
  t.match(await bo.ssh('org member remove works ana'), { status: 4 });
  t.match(await bo.ssh('org member role works bo owner'), { status: 4 }, 'not oneself either');
  t.match(
    await json(doorOf(bo), 'org member remove works bo'),
    { changed: true },
    'but everybody may leave',
  );
  t.match(await bo.ssh('org member remove works cy'), { status: 4 });
  t.match(await bo.ssh('org show works'), { status: 0 }, 'names and members are no secret');
});

t.test('org_create leaves it to admins where it is set so', async (t) => {
  const strict = await House.open(t, { config: 'org_create: admins\n' });
  const dan = await strict.person('dan');

  t.match(
    await dan.ssh('org create acme'),
    refused(4, /only a site admin may create organizations/),
  );
  t.match(await strict.admin.ssh('org create acme'), { status: 0 });
});
