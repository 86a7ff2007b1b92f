import t from 'tap';
import { House } from '../support/house.ts';
import type { Answer } from '../support/process.ts';

// acme: bo owns it, cy and di are its admins, ana is a member; eve is a stranger with a repository of her own.
const house = await House.open(t);
const bo = await house.person('bo');
const cy = await house.person('cy');
await house.person('di');
const ana = await house.person('ana');
const eve = await house.person('eve');
await done(bo.ssh('org create acme'));
for (const words of ['cy --role admin', 'di --role admin', 'ana']) {
  await done(bo.ssh(`org member add acme ${words}`));
}
await done(bo.ssh('init acme/app'));
await done(eve.ssh('init own'));

async function done(answer: Promise<Answer>): Promise<string> {
  const { status, stdout, stderr } = await answer;
  if (status !== 0) throw new Error(`status ${status}: ${stdout}${stderr}`);
  return stdout;
}

async function members(): Promise<Record<string, string>> {
  const rows: { user: string; role: string }[] = JSON.parse(
    await done(bo.ssh('org member list acme --json')),
  );
  return Object.fromEntries(rows.map(({ user, role }) => [user, role]));
}

async function grants(repo: string): Promise<string[]> {
  const rows = JSON.parse(await done(house.admin.ssh(`repo access list ${repo} --json`)));
  return rows.map(({ who, right }: { who: string; right: string }) => `${who} ${right}`);
}

t.test('S10 test 11: nobody rises alone, nobody is robbed', async (t) => {
  const team = await members();
  await done(house.admin.ssh('repo access grant acme/app eve admin'));
  await done(house.admin.ssh('repo access grant eve/own cy admin'));

  const tries: [typeof bo, string, number][] = [
    [cy, 'org member role acme cy owner', 4],
    [cy, 'org member role acme bo admin', 4],
    [cy, 'org member remove acme bo', 4],
    [cy, 'org member role acme di member', 4],
    [cy, 'org member remove acme di', 4],
    [cy, 'org member add acme eve --role owner', 4],
    [ana, 'org member role acme ana admin', 4],
    [eve, 'org member add acme eve', 4],
    [eve, 'repo access grant acme/app eve owner', 2],
    [eve, 'repo rename acme/app eve/app', 4],
    [cy, 'repo rename acme/app cy/app', 4],
    [cy, 'repo access revoke acme/app eve', 4],
    [cy, 'repo access grant acme/app eve read', 4],
    [eve, 'repo access revoke acme/app cy', 4],
    [eve, 'repo access revoke acme/app bo', 4],
    [eve, 'repo access grant acme/app ana write', 0],
    [eve, 'repo access revoke acme/app ana', 0],
    [eve, 'repo access revoke acme/app ana', 0],
    // What an owner was granted besides is an owner's.
    [bo, 'repo access grant acme/app bo write', 0],
    [eve, 'repo access grant acme/app bo write', 0],
    [eve, 'repo access grant acme/app bo read', 4],
    [eve, 'repo access revoke acme/app bo', 4],
    [cy, 'repo access revoke acme/app bo', 4],
    [bo, 'repo access revoke acme/app bo', 0],
    [bo, 'org access grant acme bo read', 0],
    [cy, 'org access revoke acme bo', 4],
    [cy, 'org access revoke acme di', 4],
    [bo, 'org access revoke acme bo', 0],
    [cy, 'org access revoke acme ana', 0],
    [cy, 'repo access grant eve/own cy write', 4],
    [cy, 'user add mallory --admin', 4],
    [cy, 'repo rename eve/own cy/own', 4],
  ];
  for (const [who, words, status] of tries) {
    t.equal((await who.ssh(words)).status, status, `${who.name}: ${words}`);
  }

  t.strictSame(await members(), team);
  t.strictSame(await grants('acme/app'), ['eve admin']);
  t.strictSame(await grants('eve/own'), ['cy admin']);
  const refusal = await cy.ssh('org member role acme bo admin');
  t.equal(
    refusal.stderr,
    'cpm: acme: your role there is admin: you may not change bo from owner to admin\n' +
      'hint: ask an owner of acme\n',
  );
  await done(bo.ssh('repo access revoke acme/app eve'));
  t.strictSame(await grants('acme/app'), [], 'an owner may');
});

t.test('S10 a right given again is no change, and no robbery', async (t) => {
  await done(bo.ssh('repo access grant acme/app eve admin'));

  for (const words of [
    'repo access grant acme/app eve admin',
    'org member add acme di --role admin',
  ]) {
    const answer = await cy.ssh(`${words} --json`);
    t.match(answer, { status: 0, stderr: '' }, words);
    t.strictSame(JSON.parse(answer.stdout), { changed: false });
  }

  await done(bo.ssh('repo access revoke acme/app eve'));
});

t.test('S10 the last owner stays, whoever asks', async (t) => {
  const last = {
    status: 5,
    stderr: /^cpm: bo is the last owner of acme\nhint: make somebody else/,
  };

  t.match(await bo.ssh('org member remove acme bo'), last);
  t.match(await bo.ssh('org member role acme bo member'), last);
  t.match(await house.admin.ssh('org member remove acme bo'), last);
  t.match(await house.operator('org member role acme bo admin'), last);
  t.match(await house.operator('user delete bo --yes'), last);
  t.match(await members(), { bo: 'owner' });

  await done(bo.ssh('org member role acme ana owner'));
  const both = await Promise.all([
    bo.ssh('org member remove acme bo'),
    ana.ssh('org member remove acme ana'),
  ]);
  t.strictSame(both.map(({ status }) => status).sort(), [0, 5], 'of two that leave at once, one');
  const owners = Object.entries(await members()).filter(([, role]) => role === 'owner');
  t.equal(owners.length, 1);

  await house.operator('org member add acme bo --role owner');
  await house.operator('org member remove acme ana');
  await done(house.operator('org member add acme ana'));
});

t.test('a refusal says what one may, why, and whom to ask', async (t) => {
  const work = await ana.worktree();
  const push = await ana.git(['push', ana.url('acme/app'), 'main'], { cwd: work });
  const missing = await ana.git(['push', ana.url('acme/ap'), 'main'], { cwd: work });

  t.equal(push.status, 128);
  t.equal(
    push.stderr,
    'fatal: remote error: cpm: acme/app: you may read it, not write (ana, member of acme)\n' +
      'hint: ask bo or cy or di: repo access grant acme/app ana write\n',
  );
  t.match(missing.stderr, 'cpm: acme/ap: no such repository, or not yours to see (you are ana)\n');
  t.equal(
    (await eve.ssh('show acme/ap')).stderr,
    'cpm: acme/ap: no such repository, or not yours to see (you are eve)\n' +
      'hint: see what you reach with: list\n',
  );
  t.match(JSON.parse((await ana.ssh('repo access list acme/app --json')).stderr), {
    error: {
      code: 'denied',
      message: 'acme/app: you may read it, not act as its admin (ana, member of acme)',
    },
  });
});

t.test(
  'nobody writes to what is archived, its owner and a site admin no more than others',
  async (t) => {
    const work = await bo.worktree();
    await done(bo.git(['push', bo.url('acme/done'), 'main'], { cwd: work }));
    await done(bo.ssh('repo archive acme/done'));

    for (const who of [bo, house.admin]) {
      const { status, stderr } = await who.git(['push', who.url('acme/done'), 'main:more'], {
        cwd: work,
      });
      t.equal(status, 128);
      t.match(stderr, 'cpm: acme/done: the repository is archived, nobody may write to it\n');
    }
    t.equal((await bo.git(['ls-remote', bo.url('acme/done')])).stdout.trim().split('\n').length, 2);
    t.match(await bo.ssh('show acme/done'), {
      status: 0,
      stdout: /private, archived, you have: owner/,
    });
  },
);

t.test(
  'S18 grants and other requests are shown to admins alone, and only of their repository',
  async (t) => {
    await done(bo.ssh('repo access grant acme/app eve read'));

    for (const who of [ana, eve]) {
      const shown = JSON.parse(await done(who.ssh('show acme/app --json')));
      t.notHas(shown, { grants: [] });
      t.notMatch(await done(who.ssh('show acme/app')), /grant|SHA256|127\.0\.0\.1/);
      t.equal((await who.ssh('audit list --repo acme/app')).status, 4);
    }
    t.strictSame(JSON.parse(await done(cy.ssh('show acme/app --json'))).grants, [
      { who: 'eve', right: 'read', on: 'repo' },
    ]);
    const rows: { target: string }[] = JSON.parse(
      await done(cy.ssh('audit list --repo acme/app --json')),
    );
    t.ok(rows.length > 10);
    t.strictSame([...new Set(rows.map(({ target }) => target))], ['acme/app']);
  },
);
