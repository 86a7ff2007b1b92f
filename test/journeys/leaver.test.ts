import t from 'tap';
import { doorOf, json, refused } from '../commands/scenario.ts';
import { House } from '../support/house.ts';
import { generateKey, type Person } from '../support/person.ts';

const house = await House.open(t);
const { admin } = house;
const lea = await house.person('lea');
const bo = await house.person('bo');
const cy = await house.person('cy');
const work = await lea.worktree();
const asJson = (person: Person, line: string) => json(doorOf(person), line);
const ci = await generateKey(`${house.folder}/ci`);

t.test('a leaver who owned repositories and was the last owner of an org', async (t) => {
  for (const repo of ['notes', 'tools'])
    await lea.git(['push', '-q', lea.url(repo), 'main'], { cwd: work });
  await lea.ssh('repo access grant notes cy read');
  await lea.ssh('org create acme');
  await lea.ssh('org create shared');
  await lea.ssh('org member add shared bo --role owner');
  await lea.ssh('org member add acme cy --role admin');
  await lea.git(['push', '-q', lea.url('acme/app'), 'main'], { cwd: work });
  await lea.ssh('sshkey add - --repo acme/app --right write', { stdin: ci.line });
  await bo.ssh('init tools');

  await t.test('nothing is done while somebody would be left out', async (t) => {
    t.match(await bo.ssh('user offboard lea --yes'), refused(4, /only a site admin/));
    t.match(await admin.ssh('user offboard lea'), refused(2, /needs --yes/));
    t.match(
      await admin.ssh('user offboard lea --yes'),
      refused(5, /lea is the last owner of acme/, /--repos-to USER/),
    );
    t.match(
      await admin.ssh('user offboard lea --repos-to org:shared --yes'),
      refused(5, /last owner of acme/),
    );
    t.match(
      await admin.ssh('user offboard lea --repos-to bo --yes'),
      refused(5, /bo has repositories of the same name: tools/, /repo rename/),
    );
    for (const [heir, status] of [
      ['lea', 2],
      ['nemo', 3],
      ['team:acme/x', 3],
      ['org:bo', 3],
    ] as const) {
      t.equal((await admin.ssh(`user offboard lea --repos-to ${heir} --yes`)).status, status, heir);
    }
    t.match(await lea.ssh('whoami'), { status: 0 }, 'lea is still there');
  });

  await bo.ssh('repo rename tools my-tools');
  t.match(await admin.ssh('user offboard lea --repos-to bo --dry-run'), {
    status: 0,
    stderr: /dry run: nothing was changed/,
  });
  t.match(await lea.ssh('whoami'), { status: 0 });

  const answer = await asJson(admin, 'user offboard lea --repos-to bo --yes');

  t.match(answer, {
    changed: true,
    repositories: [
      { from: 'lea/notes', to: 'bo/notes' },
      { from: 'lea/tools', to: 'bo/tools' },
    ],
    organizations: ['acme'],
    deploy_keys: [{ fingerprint: ci.fingerprint, on: 'acme/app' }],
  });
  t.match(await lea.ssh('whoami'), { status: 255 }, 'no key lets lea in');
  t.match(await asJson(bo, 'show notes'), { name: 'bo/notes', right: 'owner' });
  t.match(await asJson(bo, 'show acme/app'), { right: 'owner' });
  t.match(await asJson(bo, 'org show acme'), {
    members: [
      { user: 'bo', role: 'owner' },
      { user: 'cy', role: 'admin' },
    ],
  });
  t.match(await cy.git(['clone', '-q', cy.url('lea/notes'), 'notes']), {
    status: 0,
    stderr: /lea\/notes is called bo\/notes now/,
  });
  t.match(
    await bo.ssh('show lea/tools'),
    { status: 0 },
    'what pointed to the old owner still leads',
  );
  t.match(await asJson(admin, 'user offboard lea --repos-to bo --yes'), {
    changed: false,
    repositories: [],
    organizations: [],
  });
});

t.test('a disabled owner is nobody’s last owner, and an organization can be heir', async (t) => {
  t.match(
    await bo.ssh('org member remove shared bo'),
    refused(5, /bo is the last owner of shared/),
    'lea owns it too, and is gone',
  );
  t.match(await admin.ssh('user delete bo --yes'), { status: 5 });
  const dan = await house.person('dan');
  await dan.ssh('init one');
  await dan.ssh('init two');
  const stays = await admin.ssh('user offboard dan --yes');
  t.match(stays, { status: 0, stderr: /2 repositories stay with dan: hand over with --repos-to/ });
  t.match(await asJson(admin, 'user offboard dan --repos-to org:acme --yes'), {
    changed: true,
    repositories: [{ to: 'acme/one' }, { to: 'acme/two' }],
  });
  t.match(await admin.ssh('user delete dan --yes'), { status: 0 });
  t.match(
    await asJson(bo, 'show dan/one'),
    { name: 'acme/one' },
    'after the end of its owner, too',
  );
});
