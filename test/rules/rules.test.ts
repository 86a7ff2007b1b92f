import { createHash } from 'node:crypto';
import t from 'tap';
import { flushPkt } from '../../src/model/pktline.ts';
import { nullOid } from '../../src/model/ref.ts';
import { doorOf, json, refused, words } from '../commands/scenario.ts';
import { doors, House } from '../support/house.ts';
import { commandBytes } from '../transfer/raw.ts';
import { porcelain } from './play.ts';

const house = await House.open(t, { shares: true });
const { admin } = house;
const ana = await house.person('ana');
const bo = await house.person('bo');
for (const line of ['org create acme', 'org member add acme ana --role owner', 'user add cy'])
  await house.operator(line);
for (const line of ['org member add acme bo', 'org team add acme devs bo'])
  await house.operator(line);
await house.operator('org set acme --member-right write');
const work = await ana.worktree();
const git = (...line: string[]) => ana.git(line, { cwd: work });
await git('commit', '-q', '--allow-empty', '-m', 'second');
await git('branch', 'other', 'main~1');
const oid = async (name: string) => (await git('rev-parse', name)).stdout.trim();

/** A repository of acme with main and topic. */
async function repository(name: string): Promise<string> {
  await admin.ssh(['init', `acme/${name}`]);
  await git('push', '-q', ana.url(`acme/${name}`), 'main', 'main:topic');
  return `acme/${name}`;
}

for (const door of doors(house))
  t.test(
    `${door.name}: rules are added, listed and removed by numbers that never return`,
    async (t) => {
      const repo = await repository(door.name);
      const add = `repo rules add ${repo} release/* --deny delete,force --allow bo --allow team:acme/devs`;
      t.strictSame(await json(door, `repo protect ${repo}`), { changed: true, id: 1 });
      t.strictSame(await json(door, add), { changed: true, id: 2 });
      t.strictSame(await json(door, `repo protect ${repo} main`), { changed: false, id: 1 });
      const again = `repo rules add ${repo} refs/heads/release/* --allow team:acme/devs,bo --deny force --deny delete`;
      t.strictSame(await json(door, again), { changed: false, id: 2 }, 'spelled otherwise');
      t.strictSame(await json(door, `repo rules add ${repo} ** --require signed --max-file 20M`), {
        changed: true,
        id: 3,
      });
      t.strictSame(
        await json(door, `repo rules add ${repo} only/* --allow right:admin --dry-run`),
        {
          changed: true,
          id: 4,
        },
      );
      t.strictSame(await json(door, `repo rules remove ${repo} 3 --yes`), { changed: true });
      t.strictSame(await json(door, `repo rules remove ${repo} 3 --yes`), { changed: false });
      t.strictSame(await json(door, `repo rules add ${repo} only/* --allow right:admin`), {
        changed: true,
        id: 4,
      });

      const rule = {
        pattern: 'main',
        allow: [],
        deny: [],
        require: [],
        max_file: null,
        from: repo,
      };
      t.strictSame(await json(door, `repo rules list ${repo}`), [
        { id: 1, ...rule, deny: ['force', 'delete'] },
        {
          id: 2,
          ...rule,
          pattern: 'release/*',
          allow: ['bo', 'team:acme/devs'],
          deny: ['force', 'delete'],
        },
        { id: 4, ...rule, pattern: 'only/*', allow: ['right:admin'] },
      ]);
      t.equal(
        (await door.run(words(`repo rules list ${repo}`))).stdout,
        `1\tmain\tno force, no deletion\t${repo}\n` +
          `2\trelease/*\tno force, no deletion, except by bo, team:acme/devs\t${repo}\n` +
          `4\tonly/*\tonly right:admin may write\t${repo}\n`,
      );
    },
  );

t.test(
  'bad words are told before anything is looked up, and without --yes nothing goes',
  async (t) => {
    const cases: [string, number, RegExp][] = [
      ['repo rules add acme/nosuch main', 2, /what does the rule ask\?/],
      ['repo rules add acme/nosuch main --deny push', 2, /"push" is not what a rule can deny/],
      ['repo rules add acme/nosuch a..b --deny force', 2, /"a\.\.b" is not a pattern of refs/],
      ['repo rules add acme/nosuch refs/cpm/** --deny force', 2, /nobody can push there/],
      ['repo rules add acme/nosuch main --require strong', 2, /"strong" is not a require/],
      ['repo rules add acme/nosuch main --max-file 1T', 2, /"1T" is not a size/],
      ['repo rules add acme/nosuch main --allow right:none', 2, /"right:none" is not a WHO/],
      ['repo rules remove acme/nosuch x --yes', 2, /"x" is not a whole number/],
      ['repo rules remove acme/nosuch 1', 2, /needs --yes/],
      ['repo protect acme/nosuch a..b', 2, /not a pattern/],
      ['repo rules list acme/nosuch', 3, /no such repository/],
      ['repo rules add acme/ssh main --deny force --allow nosuch', 3, /nosuch: no such user/],
      ['repo rules add acme/ssh main --deny force --allow org:nosuch', 3, /no such organization/],
      ['repo rules add acme/ssh main --deny force --allow server:b', 3, /server:b: no such server/],
      ['repo rules remove acme/ssh 99 --yes', 3, /acme\/ssh has no rule 99/],
      ['org rules list nosuch', 3, /nosuch: no such organization/],
      ['org rules add acme main', 2, /what does the rule ask\?/],
    ];
    for (const [line, status, why] of cases)
      t.match(await ana.ssh(line), refused(status, why), line);
    t.match(await bo.ssh('repo protect acme/ssh'), { status: 4 }, 'who writes makes no rules');
    t.match(await bo.ssh('org rules add acme main --deny force'), { status: 4 });
  },
);

t.test('a refusal names rule and ref in the report, with what to do instead', async (t) => {
  const repo = await repository('tone');
  await ana.ssh(`repo protect ${repo}`);

  const { status, stderr } = await git('push', ana.url(repo), '+other:main');

  t.equal(status, 1);
  const rule = `rule 1 of ${repo} (no force, no deletion)`;
  const [first, second] = stderr.split('\n').map((line) => line.trimEnd());
  t.equal(first, `remote: main: force-push refused by ${rule}`);
  t.equal(second, 'remote: hint: git pull --rebase, then push; or push to another branch');
  t.match(stderr, `! [remote rejected] other -> main (force-push refused by ${rule})`);
  t.notMatch(stderr, /denying non-fast-forward|hook declined/, 'told once');
  const found = (await json(doorOf(admin), `audit list --repo ${repo} --limit 1`)) as object[];
  t.match(found, [{ action: 'git-receive-pack', outcome: 'denied', detail: { refs: [] } }]);
});

t.test('one refused ref leaves the others of a push alone, unless it is atomic', async (t) => {
  const repo = await repository('mixed');
  await ana.ssh(`repo protect ${repo}`);
  const push = async (...more: string[]) =>
    porcelain((await git('push', '--porcelain', ...more)).stdout);
  const all = [ana.url(repo), '+other:main', '+other:topic', 'main:new'];

  const atomic = await push('--atomic', ...all);
  for (const ref of ['main', 'topic', 'new'])
    t.type(atomic.get(`refs/heads/${ref}`), 'string', `${ref} is refused`);
  t.match(atomic.get('refs/heads/main'), /force-push refused by rule 1/);
  t.match(atomic.get('refs/heads/topic'), /atomic/);

  const mixed = await push(...all);
  t.match(mixed.get('refs/heads/main'), /force-push refused by rule 1/);
  t.equal(mixed.get('refs/heads/topic'), undefined);
  t.equal(mixed.get('refs/heads/new'), undefined);

  const early = await push('--atomic', ana.url(repo), ':main', 'main:newer');
  t.match(early.get('refs/heads/main'), /default branch/);
  t.match(early.get('refs/heads/newer'), /atomic push: another ref was refused/);
  const { stdout } = await git('ls-remote', ana.url(repo));
  const tips = new Map(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split('\t').reverse() as [string, string]),
  );
  t.equal(tips.get('refs/heads/main'), await oid('main'));
  t.equal(tips.get('refs/heads/topic'), await oid('other'));
  t.notOk(tips.has('refs/heads/newer'));
});

const noObjects = Buffer.from('PACK\0\0\0\x02\0\0\0\0', 'latin1');
const emptyPack = Buffer.concat([noObjects, createHash('sha1').update(noObjects).digest()]);

t.test('S12 S16 no trick of the wire moves or deletes a protected branch', async (t) => {
  const repo = await repository('tricks');
  for (const line of [
    `repo protect ${repo}`,
    `repo protect ${repo} topic`,
    `repo rules add ${repo} locked --deny create`,
  ])
    await ana.ssh(line);
  const [old, second] = [await oid('other'), await oid('main')];
  const nowhere = 'deadbeef'.repeat(5);
  const tricks: [string, string[]][] = [
    ['null to null', [`${nullOid} ${nullOid} refs/heads/topic`]],
    ['a deletion from an unknown value', [`${nowhere} ${nullOid} refs/heads/topic`]],
    ['a deletion', [`${second} ${nullOid} refs/heads/topic`]],
    ['a creation of what is there', [`${nullOid} ${old} refs/heads/topic`]],
    ['a forced update from a false value', [`${old} ${old} refs/heads/topic`]],
    ['a forced update from an unknown one', [`${nowhere} ${old} refs/heads/topic`]],
    ['a forced update', [`${second} ${old} refs/heads/topic`]],
    [
      'beside one that may be',
      [`${second} ${old} refs/heads/topic`, `${nullOid} ${old} refs/heads/x`],
    ],
    ['twice', [`${second} ${old} refs/heads/topic`, `${second} ${second} refs/heads/topic`]],
    ['another spelling', [`${nullOid} ${old} refs/heads/./locked`]],
    ['two slashes', [`${nullOid} ${old} refs/heads//locked`]],
    ['a replacement of its tip', [`${nullOid} ${old} refs/replace/${second}`]],
  ];
  for (const [name, lines] of tricks) {
    const isDeletion = lines.every((line) => line.slice(41, 81) === nullOid);
    const stdin = Buffer.concat([commandBytes(lines), isDeletion ? Buffer.alloc(0) : emptyPack]);
    const { stdout } = await bo.ssh(['git-receive-pack', repo], { stdin });
    t.match(stdout, /ng /, name);
    t.notMatch(stdout, /ok refs\/heads\/(topic|locked)/, name);
  }
  const certificate = Buffer.concat([commandBytes(['push-cert\0x']), flushPkt]);
  t.match(await bo.ssh(['git-receive-pack', repo], { stdin: certificate }), { status: 2 });

  const { stdout } = await git('ls-remote', ana.url(repo), 'topic', 'main', 'locked');
  t.equal(stdout, `${second}\trefs/heads/main\n${second}\trefs/heads/topic\n`);
});

t.test(
  'what an organization asks holds in each of its repositories, also in one that a push creates',
  async (t) => {
    await house.operator('org create strict');
    await house.operator('org member add strict ana --role admin');
    await admin.ssh('org rules add strict "refs/tags/**" --deny create');
    await admin.ssh('org rules add strict "wip/**" --deny create --allow bo');

    const push = await git(
      'push',
      '--porcelain',
      ana.url('strict/new'),
      'main:refs/heads/wip/x',
      'main:refs/tags/v1',
    );
    t.match([...porcelain(push.stdout).values()], [/rule 2 of org:strict/, /rule 1 of org:strict/]);
    t.match(await ana.ssh('show strict/new'), { status: 3 }, 'and nothing was created');

    const some = await git(
      'push',
      '--porcelain',
      ana.url('strict/new'),
      'main',
      'main:refs/tags/v1',
    );
    const answers = porcelain(some.stdout);
    t.equal(answers.get('refs/heads/main'), undefined);
    t.match(
      answers.get('refs/tags/v1'),
      /creation refused by rule 1 of org:strict \(no creation\)/,
    );
    await ana.ssh('repo rules add strict/new "refs/tags/**" --deny create --allow ana');
    t.match(await json(doorOf(ana), 'repo rules list strict/new'), [
      { id: 1, from: 'org:strict' },
      { id: 2, from: 'org:strict' },
      { id: 1, from: 'strict/new' },
    ]);
    t.match(
      await git('push', ana.url('strict/new'), 'main:refs/tags/v2'),
      { status: 1, stderr: /rule 1 of org:strict/ },
      'an exception of the repository makes none to the organization’s',
    );
  },
);

t.test('a rule can mean a deploy key, and a server only one that is registered', async (t) => {
  const repo = await repository('robots');
  const robot = await house.stranger('robot');
  await admin.ssh(`sshkey add - --repo ${repo} --right write`, { stdin: robot.key.line });
  await ana.ssh(`repo rules add ${repo} ci/* --allow key:${robot.key.fingerprint}`);
  const push = async (who: typeof ana, ref: string) =>
    porcelain((await who.git(['push', '--porcelain', who.url(repo), ref], { cwd: work })).stdout);

  t.strictSame([...(await push(robot, 'main:refs/heads/ci/a')).values()], [undefined]);
  t.match(
    [...(await push(ana, 'main:refs/heads/ci/b')).values()],
    [/creation refused by rule 1 of acme\/robots \(only key:SHA256:\S+ may write\)/],
  );
  t.match(
    await ana.ssh(`repo rules add ${repo} x --deny force --allow server:nosuch`),
    refused(3, /server:nosuch: no such server/, /servers list/),
  );
});

t.test('user can names the rule that decides', async (t) => {
  const repo = await repository('can');
  await ana.ssh(`repo rules add ${repo} keep/* --deny force --allow bo`);
  await ana.ssh(`repo rules add ${repo} "refs/tags/**" --deny delete`);
  const cases: [string, boolean, RegExp][] = [
    [`ana force ${repo} keep/x`, false, /force-push refused by rule 1 of acme\/can/],
    [`ana force ${repo} refs/heads/keep/x`, false, /rule 1/],
    [`bo force ${repo} keep/x`, true, /./],
    [`ana delete ${repo} keep/x`, true, /./],
    [`ana delete ${repo} refs/tags/v1`, false, /deletion refused by rule 2/],
    [`ana delete ${repo} main`, false, /default branch/],
    [`cy force ${repo} keep/x`, false, /nothing gives you a right/],
  ];
  for (const [line, allowed, why] of cases) {
    const { status, stdout } = await admin.ssh(`user can ${line} --json`);
    t.match(JSON.parse(stdout), { allowed, why }, line);
    t.equal(status, allowed ? 0 : 4, line);
  }
});

t.test(
  'S13 an undo is ruled as an update: no-force lets the repair be, no-update does not',
  async (t) => {
    const repo = await repository('undone');
    await git('push', '-q', ana.url(repo), '+other:main', ':topic', 'main:made');
    for (const pattern of ['main', 'topic', 'made'])
      await ana.ssh(`repo rules add ${repo} ${pattern} --deny create,force,delete`);
    for (const ref of ['main', 'topic', 'made'])
      t.match(await ana.ssh(`repo undo ${repo} ${ref} --yes`), { status: 0 }, ref);
    const { stdout } = await git('ls-remote', ana.url(repo), 'refs/heads/*');
    const second = await oid('main');
    t.equal(stdout, `${second}\trefs/heads/main\n${second}\trefs/heads/topic\n`);

    await ana.ssh(`repo rules add ${repo} main --deny update`);
    t.match(
      await ana.ssh(`repo undo ${repo} main --yes`),
      refused(4, /update refused by rule 4 of acme\/undone \(no update\)/),
    );
  },
);
