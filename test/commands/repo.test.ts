import t from 'tap';
import { doors, House } from '../support/house.ts';
import { doorOf, json, refused, words } from './scenario.ts';

const house = await House.open(t, { shares: true });
const ana = await house.person('ana');
const bo = await house.person('bo');
for (const line of ['org create acme', 'org member add acme bo', 'org create guests'])
  await house.operator(line);
const work = await ana.worktree();

for (const door of doors(house)) {
  const repo = `acme/${door.name}`;
  await house.operator(`init ${repo}`);
  await house.operator(`init ana/${door.name}`);
  await ana.git(['push', '-q', ana.url(door.name), 'main', 'main:trunk'], { cwd: work });

  t.test(
    `${door.name}: description, visibility and default branch are set, and once is enough`,
    async (t) => {
      const all = [
        'repo',
        'set',
        repo,
        '--description',
        'An app – 漢字',
        '--visibility',
        'internal',
        '--json',
      ];
      t.match(JSON.parse((await door.run(all)).stdout), { changed: true });
      t.match(JSON.parse((await door.run(all)).stdout), { changed: false });
      t.match(await json(door, `show ${repo}`), {
        description: 'An app – 漢字',
        visibility: 'internal',
      });
      t.match(
        await json(door, `repo set ${repo} --description=`),
        { changed: true },
        'an empty one takes it away',
      );
      t.match(await json(door, `show ${repo}`), { description: '' });
      t.match(await json(door, `repo set ana/${door.name} --default-branch trunk`), {
        changed: true,
      });
      t.match(await ana.git(['ls-remote', '--symref', ana.url(door.name), 'HEAD']), {
        stdout: /^ref: refs\/heads\/trunk\tHEAD/,
      });
      t.match(
        await door.run(words(`repo set ana/${door.name} --default-branch nosuch`)),
        refused(3, /has no branch nosuch/, /show/),
      );
    },
  );

  t.test(`${door.name}: a dry run sets and grants nothing, and needs no --yes`, async (t) => {
    t.match(await json(door, `repo set ${repo} --visibility public --dry-run`), { changed: true });
    t.match(await json(door, `repo access grant ${repo} ana write --dry-run`), { changed: true });
    t.match(await json(door, `show ${repo}`), { visibility: 'internal', grants: [] });
  });

  t.test(`${door.name}: habits of other servers set the same`, async (t) => {
    t.match(await json(door, `repo private ${repo}`), { changed: true });
    t.match(await json(door, `repos private ${repo}`), { changed: false });
    const desc = await door.run(['desc', repo, 'three', 'plain', 'words', '--json']);
    t.match(JSON.parse(desc.stdout), { changed: true });
    t.equal(desc.stderr, '', 'the cpm spelling is told on a terminal alone');
    t.match(await json(door, `show ${repo}`), {
      visibility: 'private',
      description: 'three plain words',
    });
    t.match(
      await door.run(words(`desc ${repo}`)),
      refused(2, /repo set: what is to be changed\?/, /--description/),
    );
  });

  t.test(`${door.name}: rights are granted, changed and taken; done already is done`, async (t) => {
    const steps: [string, unknown][] = [
      [`repo access grant ${repo} ana read`, { changed: true }],
      [`repo access grant ${repo} ana read`, { changed: false }],
      [`repo access grant ${repo} ana write`, { changed: true }],
      [`repo access grant ${repo} org:guests read`, { changed: true }],
      [
        `repo access list ${repo}`,
        [
          { who: 'ana', right: 'write', via: repo },
          { who: 'org:guests', right: 'read', via: repo },
        ],
      ],
      [`repo access revoke ${repo} org:guests`, { changed: true }],
      [`repo access revoke ${repo} org:guests`, { changed: false }],
      [`repo access list ${repo}`, [{ who: 'ana', right: 'write', via: repo }]],
    ];
    for (const [line, answer] of steps) t.strictSame(await json(door, line), answer, line);
    t.match(await json(doorOf(ana), `show ${repo}`), { right: 'write' });
    t.match(await door.run(words(`repo access list ${repo}`)), { stdout: `ana\twrite\t${repo}\n` });
    await house.operator(`repo access revoke ${repo} ana`);
  });

  t.test(`${door.name}: what is not there, and what is no right`, async (t) => {
    const cases: [string, number, RegExp][] = [
      [
        'repo set acme/nosuch --description x',
        3,
        /acme\/nosuch: no such repository, or not yours to see/,
      ],
      ['repo access grant acme/nosuch ana read', 3, /no such repository/],
      [`repo access grant ${repo} nosuch read`, 3, /nosuch: no such user/],
      [`repo access grant ${repo} org:nosuch read`, 3, /nosuch: no such organization/],
      [`repo access grant ${repo} team:acme/devs read`, 3, /no such team/],
      [`repo access grant ${repo} ana owner`, 2, /"owner" is not a right/],
      [`repo access grant ${repo} user:ana read`, 2, /"user:ana" is not a WHO/],
      [`repo access grant ${repo} ana`, 2, /RIGHT is missing/],
      [`repo set ${repo}`, 2, /what is to be changed\?/],
      [`repo set ${repo} --default-branch refs/heads/x`, 2, /is not a branch name/],
      ['repo', 2, /repo: what about it\?/],
    ];
    for (const [line, status, why] of cases)
      t.match(await door.run(words(line)), refused(status, why), line);
  });
}

t.test('who may read is told whom to ask; who may not see it is told nothing', async (t) => {
  await house.operator('init acme/app');
  await house.operator('org member add acme ana --role owner');

  t.match(
    await bo.ssh('repo set acme/app --description x'),
    refused(
      4,
      /^cpm: acme\/app: you may read it, not act as its admin \(bo, member of acme\)/,
      /ask ana: repo access grant acme\/app bo admin/,
    ),
  );
  await house.operator('org member role acme bo admin');
  t.match(
    await bo.ssh('repo delete acme/app --yes'),
    refused(4, /you may administer it, not act as its owner/, /ask ana\n/),
    'and not an admin, for what takes an owner',
  );
  await house.operator('org member role acme bo member');
  t.match(await bo.ssh('repo access list acme/app'), { status: 4 });
  t.match(
    await bo.ssh('repo set ana/ssh --description x'),
    refused(3, /ana\/ssh: no such repository, or not yours to see \(you are bo\)/),
  );
  t.match(await bo.ssh('repo set ana/nosuch --description x'), { status: 3 });
});

t.test(
  'S10 an admin by a grant gives rights up to their own, and leaves those of equals alone',
  async (t) => {
    await house.operator('init acme/rights');
    await house.operator('repo access grant acme/rights bo admin');
    await house.operator('user add cy');
    await house.operator('user add dan');
    await house.operator('repo access grant acme/rights dan admin');

    t.match(await json(doorOf(bo), 'repo access grant acme/rights cy write'), { changed: true });
    t.match(await json(doorOf(bo), 'repo access grant acme/rights cy admin'), { changed: true });
    t.match(
      await bo.ssh('repo access grant acme/rights dan read'),
      refused(4, /dan has admin, and you have admin: only a right below your own/, /ask an owner/),
    );
    t.match(await bo.ssh('repo access revoke acme/rights dan'), { status: 4 });
  },
);
