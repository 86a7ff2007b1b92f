import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { doorOf, json, refused } from '../commands/scenario.ts';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';

// acme: bo owns it; cy is admin of some of its repositories and nothing else, ana reads them, eve is a stranger.
const house = await House.open(t, { shares: true });
const bo = await house.person('bo');
const cy = await house.person('cy');
const ana = await house.person('ana');
const eve = await house.person('eve');
await bo.ssh('org create acme');
const work = await bo.worktree();

async function make(repo: string): Promise<void> {
  const push = await bo.git(['push', '-q', bo.url(repo), 'main'], { cwd: work });
  if (push.status !== 0) throw new Error(push.stderr);
  await bo.ssh(`repo access grant ${repo} cy admin`);
  await bo.ssh(`repo access grant ${repo} ana read`);
}

const url = (repo: string) => `ssh://cpm@[^/]+:${house.port}/${repo}\\.git`;
const onDisk = (repo: string) => join(house.dataDir, 'repositories', `${repo}.git`);
const asJson = (person: Person, line: string) => json(doorOf(person), line);
const done = { status: 0 };

t.test('reads follow an old name and are told, a push to it is refused with the URL', async (t) => {
  await make('acme/app');

  t.match(await asJson(cy, 'repo rename acme/app core'), {
    changed: true,
    name: 'acme/core',
    clone_url: new RegExp(`${url('acme/core')}$`),
  });

  t.notOk(existsSync(onDisk('acme/app')));
  t.ok(existsSync(onDisk('acme/core')));
  const told = new RegExp(`^acme/app is called acme/core now: ${url('acme/core')}$`, 'm');
  const clone = await ana.git(['clone', '-q', ana.url('acme/app'), 'old']);
  t.match(clone, { status: 0, stderr: told });
  t.match(await ana.git('fetch origin', { cwd: join(ana.home, 'old') }), { ...done, stderr: told });
  const archive = ['archive', `--remote=${ana.url('acme/app')}`, '-o', '/dev/null', 'HEAD'];
  t.match(await ana.git(archive), { status: 0, stderr: told });
  for (const [person, line] of [
    [ana, 'show acme/app --json'],
    [cy, 'repo access list acme/app'],
    [cy, 'audit list --repo acme/app'],
  ] as const) {
    const answer = await person.ssh(line);
    t.match(answer, { status: 0, stderr: 'acme/app is called acme/core now\n' }, line);
  }
  const push = await bo.git(['push', bo.url('acme/app'), 'main:more'], { cwd: work });
  const why = 'acme/app is called acme/core now, and changed by that name alone';
  t.match(push, {
    status: 128,
    stderr: new RegExp(
      `^fatal: remote error: cpm: ${why}\\nhint: git remote set-url origin ${url('acme/core')}$`,
      'm',
    ),
  });
  const readers = await ana.git(['push', ana.url('acme/app'), 'main'], {
    cwd: join(ana.home, 'old'),
  });
  t.match(readers, { status: 128, stderr: /acme\/core: you may read it, not write/ });
  for (const line of [
    'repo set acme/app --description x',
    'repo access grant acme/app eve read',
    'repo rename acme/app other',
    'repo archive acme/app',
    'repo alias add Old/App acme/app',
    'sshkey add - --repo acme/app --right read',
  ]) {
    t.match(
      await cy.ssh(line, { stdin: eve.key.line }),
      refused(4, new RegExp(why), /say acme\/core/),
      line,
    );
  }
  t.match(await bo.git(['push', '-q', bo.url('acme/core'), 'main:more'], { cwd: work }), done);
  t.match(await asJson(cy, 'repo rename acme/core core'), { changed: false });
});

t.test('a chain of names leads to the last one, and back; a new repository ends it', async (t) => {
  await make('acme/one');
  const { id } = (await asJson(bo, 'show acme/one')) as { id: string };
  for (const line of ['one two', 'two three', 'three four']) {
    t.match(await cy.ssh(`repo rename acme/${line}`), done);
  }
  for (const name of ['one', 'two', 'three', 'four']) {
    t.match(await asJson(ana, `show acme/${name}`), { id, name: 'acme/four' }, name);
  }

  t.match(await cy.ssh('repo rename acme/four two'), done, 'back');
  t.match(await asJson(ana, 'show acme/four'), { id, name: 'acme/two' });

  t.match(await asJson(bo, 'init acme/one'), { changed: true });
  t.match(await asJson(bo, 'show acme/one'), { name: 'acme/one', refs: [] });
  t.match(await bo.ssh('show acme/one'), { stderr: '' }, 'it leads nowhere else any more');
  t.match(await asJson(ana, 'show acme/three'), { id }, 'the other names still do');
});

t.test(
  'the old name of a deleted repository is free, and leads to it once it is restored',
  async (t) => {
    await make('acme/gone');
    await bo.ssh('repo rename acme/gone away');
    t.match(await bo.ssh('repo delete acme/away --yes'), done);
    t.match(await ana.ssh('show acme/gone'), { status: 3 });
    t.match(await bo.ssh('repo restore acme/away'), done);
    t.match(await ana.ssh('show acme/gone'), done);
    t.match(await bo.ssh('repo delete acme/away --yes'), done);
    t.match(await bo.ssh('init acme/gone'), done);
    t.match(await bo.ssh('repo restore acme/away'), done);
    t.match(await asJson(bo, 'show acme/gone'), { name: 'acme/gone' });
  },
);

t.test(
  'a move takes the owner and a right to create there, and tells who goes along',
  async (t) => {
    await make('acme/tool');
    await bo.ssh('repo protect acme/tool');
    await bo.ssh('org access grant acme eve read');

    t.match(await cy.ssh('repo rename acme/tool cy/tool'), refused(4, /not act as its owner/));
    t.match(await bo.ssh('repo rename acme/tool ana/tool'), refused(4, /may not create reposit/));
    t.match(await bo.ssh('repo rename acme/tool nowhere/tool'), refused(3, /no such user or org/));
    const dry = await asJson(bo, 'repo rename acme/tool bo/tool --dry-run');
    const moved = { changed: true, name: 'bo/tool' };
    const grants = [
      { who: 'ana', right: 'read' },
      { who: 'cy', right: 'admin' },
    ];
    t.match(dry, { ...moved, grants, rules: [/^1: .*main: no force, no deletion$/] });
    t.ok(existsSync(onDisk('acme/tool')), 'a dry run moves nothing');
    t.match(await ana.ssh('show acme/tool'), { status: 0, stderr: '' });

    t.match(await bo.ssh('repo rename acme/tool bo/tool'), {
      status: 0,
      stdout:
        /^It is called bo\/tool now\.\n.*\ngoes along: ana read\ngoes along: cy admin\ngoes along: rule 1: .*main: no force, no deletion\n$/,
      stderr: 'what is granted and ruled on all of acme ends for it\n',
    });

    t.equal(statSync(join(house.dataDir, 'repositories/bo')).mode & 0o777, 0o700);
    t.match(await asJson(ana, 'show acme/tool'), { name: 'bo/tool', right: 'read' });
    t.match(await asJson(bo, 'show tool'), { name: 'bo/tool' });
    t.match(await eve.ssh('show acme/tool'), { status: 3 });
    await bo.ssh('org access revoke acme eve');
  },
);

t.test('S6 / test 10: a stranger takes the old name of a repository by no verb', async (t) => {
  await make('acme/mine');
  await bo.ssh('init bo/left');
  await bo.ssh('repo delete bo/left --yes');
  await bo.ssh('init bo/left');
  await bo.ssh('repo rename bo/left acme/left');
  await bo.ssh('repo rename acme/mine yours');
  await house.operator('org member add acme eve --role admin');
  await house.operator('org member remove acme eve');
  await eve.ssh('init spare');

  const free = /acme\/left|bo\/left: the name is not free, it leads to a repository/;
  for (const [person, line, status] of [
    [eve, 'init acme/mine', 4],
    [eve, 'repo rename spare acme/mine', 4],
    [eve, 'repo alias add acme/mine eve/spare', 4],
    [cy, 'init acme/mine', 4],
    [cy, 'repo rename acme/core mine', 0],
  ] as const) {
    t.equal((await person.ssh(line)).status, status, `${person.name}: ${line}`);
  }
  t.match(await eve.git(['push', eve.url('acme/left'), 'main'], { cwd: await eve.worktree() }), {
    status: 128,
    stderr: /no such repository, or not yours to see/,
  });
  // The namespace is bo's own, but what its old name leads to isn't any more.
  await house.operator('org member add acme ana --role owner');
  await ana.ssh('org member remove acme bo');
  for (const line of [
    'init left',
    'init bo/left --dry-run',
    'repo alias add bo/left bo/tool',
    'repo restore bo/left',
    'repo restore bo/left --dry-run',
  ]) {
    t.match(await bo.ssh(line), refused(5, free), line);
  }
  t.match(await bo.ssh('repo rename bo/tool left'), refused(5, free));
  const push = await bo.git(['push', bo.url('left'), 'main'], { cwd: work });
  t.match(push, { status: 128, stderr: /no such repository, or not yours to see/ });
  t.match(await house.admin.ssh('repo restore bo/left'), done, 'an admin of what it leads to may');
  t.match(await asJson(bo, 'show bo/left'), { name: 'bo/left' });
  await house.operator('repo delete bo/left --yes');
  t.match(await house.admin.ssh('init bo/left'), done);
  await house.operator('repo delete bo/left --yes');
  await house.operator('org member add acme bo --role owner');
  await house.operator('org member remove acme ana');
});

t.test('S6 / test 10: an old name of what one may not read is a name that never was', async (t) => {
  await make('acme/open');
  await bo.ssh('repo rename acme/open shut');
  await bo.ssh('repo alias add Old/Open acme/shut');

  const questions = ['show R', 'show R --json', 'repo set R --description x', 'repo rename R x'];
  for (const [led, never, status] of [
    ['acme/open', 'acme/ofen', 3],
    ['Old/Open', 'Old/Ofen', 2],
  ] as const) {
    const same = (text: string, repo: string) => text.replaceAll(repo, 'R');
    for (const question of [...questions, 'git-upload-pack R', 'git-receive-pack R']) {
      const [one, other] = [
        await eve.ssh(question.replace('R', led), { stdin: '' }),
        await eve.ssh(question.replace('R', never), { stdin: '' }),
      ];
      t.equal(one.status, status, question);
      t.strictSame(
        [one.status, same(one.stdout, led), same(one.stderr, led)],
        [other.status, same(other.stdout, never), same(other.stderr, never)],
        `${question.replace('R', led)}`,
      );
    }
    t.match(await ana.ssh(`show ${led}`), done, 'and a reader finds it');
  }
  const unseen = await eve.ssh('repo alias remove Old/Open');
  const absent = await eve.ssh('repo alias remove Old/Ofen');
  t.match(unseen, { status: 3, stderr: /Old\/Open: no such alias, or not yours to see/ });
  t.equal(unseen.stderr.replace('Open', 'Ofen'), absent.stderr);
});

t.test('an alias of any case and depth leads reads and pushes to its repository', async (t) => {
  await make('acme/thing');
  const old = 'Old/Group/Thing.git';

  t.match(await asJson(cy, `repo alias add ${old} acme/thing`), { changed: true });
  t.match(await asJson(cy, `repo alias add /Old/Group/Thing acme/thing`), { changed: false });

  t.match(await ana.git(['clone', '-q', ana.url(old), 'thing']), { status: 0, stderr: '' });
  t.match(await bo.git(['push', '-q', bo.url(old), 'main:aliased'], { cwd: work }), done);
  t.match(await asJson(ana, `show ${old}`), { name: 'acme/thing', refs: [{}, {}] });
  t.match(await ana.ssh('show old/group/thing'), { status: 2 }, 'case counts');
  t.strictSame(await asJson(cy, 'repo alias list acme/thing'), [
    { alias: 'Old/Group/Thing', repo: 'acme/thing' },
  ]);
  t.match(await ana.ssh('repo alias list acme/thing'), refused(4, /not act as its admin/));
  t.match(await asJson(house.admin, 'repo alias list'), [{}, { alias: 'Old/Open' }]);
  await cy.ssh('repo rename acme/thing thing2');
  t.match(await ana.ssh(`show ${old}`), { status: 0, stderr: '' }, 'it follows its repository');
  t.match(await asJson(cy, `repo alias remove ${old}`), { changed: true });
  t.match(await cy.ssh(`repo alias remove ${old}`), refused(3, /no such alias/, /repo alias list/));
  t.match(await ana.ssh(`show ${old}`), { status: 2 }, 'what it never was: no name either');
});

t.test(
  'an alias never stands before a repository, and takes a name only with the right to',
  async (t) => {
    await make('acme/real');
    await make('acme/other');

    t.match(
      await bo.ssh('repo alias add acme/real acme/other'),
      refused(5, /acme\/real: a repository is called so/, /choose another path/),
    );
    t.match(await cy.ssh('repo alias add acme/free acme/other'), refused(4, /may not create/));
    t.match(await cy.ssh('repo alias add cy/free acme/other'), done, 'in one’s own namespace');
    for (const line of ['repo alias add nowhere/app acme/other', 'repo alias add app acme/other']) {
      t.match(
        await cy.ssh(line),
        refused(4, /only a site admin may give this path a meaning/),
        line,
      );
    }
    t.match(await house.admin.ssh('repo alias add everywhere acme/other'), done);
    t.match(await asJson(ana, 'show everywhere'), { name: 'acme/other' });
    t.match(await cy.ssh('init everywhere'), done);
    t.match(await asJson(cy, 'show everywhere'), { name: 'cy/everywhere' });
    t.match(await asJson(ana, 'show everywhere'), { name: 'acme/other' });
    t.match(await cy.ssh('init cy/free'), done, 'a repository ends the alias');
    t.match(await asJson(cy, 'show cy/free'), { name: 'cy/free' });
    t.match(await asJson(cy, 'repo alias list acme/other'), [{ alias: 'everywhere' }]);
    t.match(await cy.ssh('repo alias add Taken acme/other'), done);
    t.match(await bo.ssh('repo alias add Taken acme/real'), done, 'by who is admin of both');
    t.match(await asJson(ana, 'show Taken'), { name: 'acme/real' });
    await eve.ssh('init hers');
    t.match(
      await eve.ssh('repo alias add Taken eve/hers'),
      refused(5, /Taken: the name is not free/),
    );
    for (const bad of ['', '../x', 'A//B', '-x', 'a/b.git/c', 'x'.repeat(64), 'A/'.repeat(11)]) {
      t.match(
        await cy.ssh(['repo', 'alias', 'add', bad, 'acme/other']),
        refused(2, /alias|flag/),
        bad,
      );
    }
  },
);

t.test('an archived repository is read, and neither pushed to, merged into nor set', async (t) => {
  await make('acme/done');

  t.match(await asJson(cy, 'repo archive acme/done'), { changed: true });
  t.match(await asJson(cy, 'repo archive acme/done'), { changed: false });

  t.match(await asJson(ana, 'show acme/done'), { archived: true });
  t.match(await asJson(ana, 'list acme/done'), [{ archived: true }]);
  t.match(await ana.git(['clone', '-q', ana.url('acme/done'), 'done']), done);
  const why = 'acme/done: the repository is archived, nobody may write to it';
  const push = await bo.git(['push', bo.url('acme/done'), 'main:more'], { cwd: work });
  t.match(push, { status: 128, stderr: `remote error: cpm: ${why}\nhint: an admin takes it out` });
  for (const line of ['repo set acme/done --description x', 'merge acme/done main']) {
    t.match(await bo.ssh(line), refused(4, new RegExp(why), /repo unarchive acme\/done/), line);
  }
  t.match(await cy.ssh('repo access grant acme/done eve read'), done, 'rights are still given');
  t.match(await asJson(cy, 'repo unarchive acme/done'), { changed: true });
  t.match(await asJson(cy, 'repo unarchive acme/done'), { changed: false });
  t.match(await bo.git(['push', '-q', bo.url('acme/done'), 'main:more'], { cwd: work }), done);
});

t.test(
  'two repositories never come onto one path: a taken name or directory is refused',
  async (t) => {
    await make('acme/a');
    await make('acme/b');
    mkdirSync(onDisk('acme/c'));
    writeFileSync(join(onDisk('acme/c'), 'work'), 'somebody’s');

    t.match(await bo.ssh('repo rename acme/a b'), refused(5, /acme\/b: this repository exists/));
    t.match(
      await bo.ssh('repo rename acme/a c'),
      refused(5, /acme\/c: a directory that cpm does not know is in its place/),
    );

    for (const name of ['a', 'b']) {
      const { stdout } = await ana.git(['ls-remote', ana.url(`acme/${name}`)]);
      t.match(stdout, /refs\/heads\/main/, name);
      t.match(await asJson(ana, `show acme/${name}`), { name: `acme/${name}` });
    }
    t.match(await ana.ssh('show acme/c'), { status: 3 });
    t.strictSame(readdirSync(onDisk('acme/c')), ['work']);
  },
);
