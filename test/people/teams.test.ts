import t from 'tap';
import { doors, House } from '../support/house.ts';

t.test('teams and organization grants: one grant for thirty repositories', async (t) => {
  const house = await House.open(t, { shares: true });
  const [ana, bo, cy] = await Promise.all(['ana', 'bo', 'cy'].map((name) => house.person(name)));
  if (!ana || !bo || !cy) throw new Error('three people were to be there');
  const all = async (lines: readonly string[]) => {
    for (const line of lines) t.match(await house.operator(line), { status: 0 }, line);
  };
  await all([
    'org create acme',
    'org set acme --member-right none',
    'org member add acme ana --role owner',
    'org member add acme bo',
    'org team add acme devs bo',
    'org team add acme ops',
  ]);
  for (let n = 0; n < 30; n += 1) {
    t.equal((await ana.ssh(`init acme/r${n}`)).status, 0);
  }

  t.equal(
    (await bo.ssh('list --json')).stdout,
    '[]\n',
    'a member whose right is none sees nothing',
  );
  t.match(await ana.ssh('org access grant acme team:acme/devs write'), { status: 0 });
  t.equal(JSON.parse((await bo.ssh('list --json')).stdout).length, 30);
  const work = await bo.worktree();
  t.match(await bo.git(['push', bo.url('acme/r7'), 'main'], { cwd: work }), { status: 0 });

  t.match(JSON.parse((await bo.ssh('user access bo --json')).stdout)[0], {
    repo: 'acme/r0',
    right: 'write',
    why: /write by a grant on the org to team devs/,
  });
  t.match(await bo.ssh('user can bo write acme/r3'), { status: 0, stdout: /^yes/ });
  t.match(await bo.ssh('user can bo admin acme/r3'), { status: 4, stdout: /^no/ });
  t.match(await bo.ssh('user can bo delete acme/r3 main'), { status: 4, stdout: /default branch/ });
  t.match(await ana.ssh('user can bo write acme/r3 --json'), { status: 0 }, 'for its admins too');
  t.match(await cy.ssh('user can bo write acme/r3'), { status: 3 }, 'for nobody else');
  t.match(await bo.ssh('org access list acme'), { status: 4 });
  t.match(await bo.ssh('org team add acme devs cy'), { status: 4 });
  t.match(await ana.ssh('org team add acme devs cy'), { status: 5, stderr: /no member of acme/ });

  t.match(await ana.ssh('org team remove acme devs bo'), { status: 0 });
  t.equal((await bo.ssh('list --json')).stdout, '[]\n', 'out of the team, out of its grant');
  t.match(await ana.ssh('org team add acme devs bo'), { status: 0 });
  t.match(await ana.ssh('org member remove acme bo'), { status: 0 });
  t.equal((await bo.ssh('list --json')).stdout, '[]\n', 'out of the org, out of its teams');
  t.match(JSON.parse((await ana.ssh('org team list acme --json')).stdout), [
    { name: 'devs', users: [] },
    { name: 'ops', users: [] },
  ]);
  t.match(await ana.ssh('org team remove acme ops'), { status: 0 });
  t.match(await ana.ssh('org team remove acme ops'), { status: 3 });
  t.match(await ana.ssh('org delete acme --yes'), { status: 5, stderr: /acme\/r0/ });
});

t.test('site admins, deleted organizations and reserved names, at every door', async (t) => {
  const house = await House.open(t, { shares: true });
  const ana = await house.person('ana');
  for (const { name, run } of doors(house)) {
    const guild = `guild-${name}`;
    t.match(await run(['org', 'create', guild]), { status: 0 });
    t.match(await run(['org', 'delete', guild]), { status: 2, stderr: /--yes/ });
    t.match(await run(['org', 'delete', guild, '--yes', '--dry-run']), { status: 0 });
    t.match(await run(['org', 'delete', guild, '--yes']), { status: 0 });
    t.match(await run(['org', 'create', guild]), { status: 5, stderr: /stays reserved/ });
    t.match(await run(['user', 'release', guild]), { status: 0, stdout: /free/ });
    t.match(await run(['user', 'release', 'ana']), { status: 5, stderr: /in use/ });
    t.match(await run(['org', 'create', guild]), { status: 0 });

    t.match(await ana.ssh('user list'), { status: 4 });
    t.match(await run(['user', 'admin', 'ana']), { status: 0 });
    t.match(await ana.ssh('user list'), { status: 0 });
    t.match(await run(['user', 'admin', 'ana', '--off']), { status: 0 });
    t.match(await ana.ssh('user list'), { status: 4 });
    t.match(await run(['org', 'set', guild]), { status: 2, stderr: /--member-right/ });
    t.match(await run(['org', 'set', guild, '--member-right', 'owner']), { status: 2 });
  }
});
