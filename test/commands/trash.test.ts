import { existsSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { doors, House } from '../support/house.ts';
import { doorOf, json, refused, words } from './scenario.ts';

interface Trashed {
  name: string;
  id: string;
  deleted_at: string;
  deleted_by: string;
  expires_at: string | null;
}

const house = await House.open(t, { config: 'limits:\n  namespace_bytes: 1M\n', shares: true });
const ana = await house.person('ana');
const bo = await house.person('bo');
for (const line of ['org create acme', 'org member add acme ana --role owner'])
  await house.operator(line);
const work = await ana.worktree();
const push = (repo: string, ...refs: string[]) =>
  ana.git(['push', '-q', ana.url(repo), ...refs], { cwd: work });

for (const door of doors(house)) {
  const repo = `acme/${door.name}`;

  t.test(
    `${door.name}: a deleted repository comes back with grants, refs and history`,
    async (t) => {
      await house.operator(`init ${repo}`);
      await push(repo, 'main', 'main:topic');
      await house.operator(`repo access grant ${repo} bo write`);
      const before = (await json(door, `show ${repo}`)) as { id: string; refs: unknown[] };

      const deleted = await door.run(words(`repo delete ${repo} --yes`));

      t.match(deleted, { status: 0, stdout: new RegExp(`back with: repo restore ${repo}\n$`) });
      t.match(await door.run(words(`show ${repo}`)), refused(3, /no such repository/));
      t.match(await bo.git(['ls-remote', bo.url(repo)]), { status: 128 });
      t.strictSame(await json(door, `list ${repo}`), []);
      t.notOk(existsSync(join(house.dataDir, 'repositories', `${repo}.git`)));
      const [row] = (await json(door, `repo trash list ${repo}`)) as Trashed[];
      t.match(row, { name: repo, id: before.id, deleted_by: /^(user:ada|operator)$/, refs: 2 });
      const keptMs = Date.parse(row?.expires_at ?? '') - Date.parse(row?.deleted_at ?? '');
      t.equal(keptMs, 90 * 86_400_000);

      t.match(await json(door, `repo restore ${repo}`), {
        changed: true,
        id: before.id,
        name: repo,
      });
      const after = (await json(door, `show ${repo}`)) as typeof before;
      t.strictSame(after.refs, before.refs);
      t.match(after, { id: before.id, grants: [{ who: 'bo', right: 'write' }] });
      t.match(await bo.git(['ls-remote', bo.url(repo), 'topic']), { stdout: /refs\/heads\/topic/ });
      t.match(await push(repo, 'main:again'), { status: 0 }, 'and takes pushes');
      t.match(
        await door.run(words(`repo restore ${repo}`)),
        refused(3, /in the trash/, /trash list/),
      );
    },
  );

  t.test(
    `${door.name}: the name is free at once, and several of one name rest side by side`,
    async (t) => {
      const name = `${repo}-again`;
      const ids: string[] = [];
      for (const _ of [1, 2, 3]) {
        const made = (await json(door, `init ${name}`)) as { id: string };
        ids.unshift(made.id);
        t.match(await json(door, `D trash ${name} --yes`), { changed: true, id: made.id });
      }
      const rows = (await json(door, `repo trash list ${name}`)) as Trashed[];
      t.strictSame(
        rows.map(({ id }) => id),
        ids,
        'the last deleted first',
      );

      t.match(await json(door, `repo restore ${name} --id ${ids[2]}`), { id: ids[2] });
      t.match(
        await door.run(words(`D restore ${name}`)),
        refused(5, /exists already; it stays in the trash/, /repo rename/),
      );
      t.match(await json(door, `repo delete ${name} --yes`), { id: ids[2] });
      t.match(await json(door, `D restore ${name}`), { id: ids[2] }, 'the last deleted');
      t.match(await json(door, `repo trash empty ${name} --id ${ids[1]} --yes`), {
        changed: true,
        removed: [{ name, id: ids[1] }],
      });
      t.match(await json(door, `repo trash empty ${name} --yes`), { removed: [{ id: ids[0] }] });
      t.match(await door.run(words(`repo trash empty ${name} --yes`)), refused(3, /in the trash/));
      t.notOk(
        readdirSync(join(house.dataDir, 'trash')).some((each) => ids.includes(each.slice(0, 36))),
      );
    },
  );

  t.test(`${door.name}: a dry run leaves everything where it is, and needs no --yes`, async (t) => {
    const name = `${repo}-dry`;
    await house.operator(`init ${name}`);
    t.match(await json(door, `repo delete ${name} --dry-run`), { changed: true });
    t.match(await json(door, `show ${name}`), { name });
    await house.operator(`repo delete ${name} --yes`);
    t.match(await json(door, `repo restore ${name} --dry-run`), { changed: true });
    t.match(await json(door, `repo trash empty ${name} --dry-run`), { changed: true });
    t.match(await json(door, `repo trash list ${name}`), [{ name }]);
    t.match(await json(door, `repo trash list ${name} --older 1d`), []);
    t.match(await json(door, `repo trash empty --older 1d --yes`), { changed: false, removed: [] });
  });

  t.test(`${door.name}: what is asked wrongly changes nothing`, async (t) => {
    const cases: [string, number, RegExp][] = [
      [`repo delete ${repo}`, 2, /needs --yes/],
      ['repo delete', 2, /REPO is missing/],
      ['repo delete acme/nosuch --yes', 3, /no such repository/],
      ['repo restore acme/nosuch', 3, /acme\/nosuch: no such repository in the trash/],
      [`repo restore ${repo}-dry --id x`, 2, /"x" is not an id/],
      [`repo restore ${repo}-dry --id 0b9d1f3e-58c2-4a57-9a0e-6f0c2f0f6a11`, 3, /in the trash/],
      ['repo trash', 2, /repo trash/],
      ['repo trash list acme/nosuch', 3, /in the trash/],
      ['repo trash list --older soon', 2, /"soon" is not a time/],
      [`repo trash empty ${repo}-dry`, 2, /needs --yes/],
      ['repo trash empty --id 0b9d1f3e-58c2-4a57-9a0e-6f0c2f0f6a11 --yes', 2, /goes with the name/],
      ['org delete acme --yes', 5, /acme has repositories/],
    ];
    for (const [line, status, why] of cases)
      t.match(await door.run(words(line)), refused(status, why), line);
  });
}

t.test(
  'who may read is told that only an owner deletes and restores, a stranger nothing',
  async (t) => {
    await house.operator('init acme/hers');
    await house.operator('repo access grant acme/hers bo admin');
    const eve = await house.person('eve');
    t.match(
      await bo.ssh('repo delete acme/hers --yes'),
      refused(4, /you may administer it/, /ana/),
    );
    t.match(await eve.ssh('repo delete acme/hers --yes'), refused(3, /no such repository/));
    t.match(await ana.ssh('repo delete acme/hers --yes'), { status: 0 });

    t.match(await bo.ssh('repo restore acme/hers'), refused(4, /only its owner/, /owner/));
    t.match(await eve.ssh('repo restore acme/hers'), refused(3, /no such repository in the trash/));
    t.strictSame(await json(doorOf(bo), 'repo trash list'), [], 'and sees nothing of it');
    const hers = (await json(doorOf(ana), 'repo trash list')) as Trashed[];
    t.ok(hers.some(({ name }) => name === 'acme/hers'));
    t.match(await json(doorOf(bo), 'repo trash empty --yes'), { changed: false });
    t.match(await ana.ssh('repo restore acme/hers'), { status: 0 });
  },
);

t.test(
  'S11 a deletion waits for the clone that runs, and a push in the middle of it ends first',
  async (t) => {
    await house.operator('init ana/busy');
    await push('ana/busy', 'main');
    const both = await Promise.all([
      ana.git(['clone', '-q', ana.url('ana/busy'), 'busy']),
      ana.ssh('repo delete ana/busy --yes'),
    ]);
    t.equal(both[1].status, 0);
    t.ok([0, 128].includes(both[0].status), 'the clone is whole, or found nothing');
  },
);

t.test('S26 what rests in the trash counts for its namespace, until it is emptied', async (t) => {
  const big = Buffer.alloc(900_000);
  crypto.getRandomValues(big.subarray(0, 65_536));
  for (let at = 65_536; at < big.length; at += 65_536)
    crypto.getRandomValues(big.subarray(at, Math.min(at + 65_536, big.length)));
  await house.operator('init bo/big');
  const mine = await bo.worktree();
  const { writeFileSync } = await import('node:fs');
  writeFileSync(join(mine, 'big'), Buffer.concat([big, big.subarray(0, 300_000).reverse()]));
  await bo.git('add .', { cwd: mine });
  await bo.git('commit -q -m big', { cwd: mine });
  t.match(await bo.git(['push', '-q', bo.url('big'), 'main'], { cwd: mine }), { status: 0 });
  await house.operator('init bo/small');
  await bo.ssh('repo delete big --yes');

  const full = await bo.git(['push', '-q', bo.url('small'), 'main~1:refs/heads/x'], { cwd: mine });
  t.match(full, { status: 1, stderr: /namespace_bytes/ });
  t.match(await bo.ssh('repo trash empty big --yes'), { status: 0 });
  t.match(await bo.git(['push', '-q', bo.url('small'), 'main~1:refs/heads/x'], { cwd: mine }), {
    status: 0,
  });
});

t.test('a namespace is not deleted over what it has in the trash', async (t) => {
  for (const line of ['org create brief', 'init brief/app', 'repo delete brief/app --yes'])
    await house.operator(line);
  t.match(
    await house.operator('org delete brief --yes'),
    refused(5, /brief has repositories in the trash, brief\/app among them/, /trash empty/),
  );
  t.match(await house.operator('repo trash empty brief/app --yes'), { status: 0 });
  t.match(await house.operator('org delete brief --yes'), { status: 0 });
});

t.test(
  'a directory that went astray is told of, and the name of a lost one is freed',
  async (t) => {
    await house.operator('init acme/lost');
    const place = join(house.dataDir, 'repositories/acme/lost.git');
    renameSync(place, join(house.folder, 'lost.git'));
    t.match(await house.operator('repo delete acme/lost --yes'), { status: 0 });
    t.match(
      await house.operator('repo restore acme/lost'),
      refused(6, /files are not in the trash/),
    );
    t.match(await house.operator('repo trash empty acme/lost --yes'), { status: 0 });
  },
);

t.test('what is deleted is told as an event to those who may know', async (t) => {
  const { stdout } = await house.operator('events');
  const types = new Set(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).type),
  );
  for (const type of ['repo-deleted', 'repo-restored', 'repo-removed']) t.ok(types.has(type), type);
});
