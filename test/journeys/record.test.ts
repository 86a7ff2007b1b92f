import { join } from 'node:path';
import t from 'tap';
import { House } from '../support/house.ts';
import { generateKey } from '../support/person.ts';

const house = await House.open(t);
const people = {
  ana: await house.person('ana'),
  bo: await house.person('bo'),
  cy: await house.person('cy'),
  di: await house.person('di'),
  eve: await house.person('eve'),
};
const { ana, bo, cy, eve } = people;
const robot = await generateKey(join(house.folder, 'robot'));

const secret = 'acme/secret';
const done = async (words: string, stdin?: string) => {
  const answer = await ana.ssh(words, { stdin });
  if (answer.status !== 0) throw new Error(`${words}: ${answer.stderr}`);
  return answer.stdout;
};
const rows = async (words: string) => JSON.parse(await done(`${words} --json`));

t.before(async () => {
  await done('org create acme');
  await done(`init ${secret}`);
  await done('org set acme --member-right none');
  await done('org member add acme cy');
  await done('org team add acme devs cy');
  await done(`repo access grant ${secret} team:acme/devs read`);
  await done(`repo access grant ${secret} bo write`);
  await done('init acme/other');
  const work = await ana.worktree();
  await ana.git(['push', '-q', ana.url(secret), 'main'], { cwd: work });
});

t.test('a repository’s owner learns who read it last month, and who tried', async (t) => {
  t.match(await bo.git(['clone', '-q', bo.url(secret), 'copy']), { status: 0 });
  t.match(await cy.git(['ls-remote', '-q', cy.url(secret)]), { status: 0 });
  t.not((await eve.git(['clone', '-q', eve.url(secret), 'copy'])).status, 0);
  t.match(await cy.ssh(`show ${secret}`), { status: 0 });
  await done(`repo access revoke ${secret} bo`);
  t.not((await bo.git(['fetch', '-q'], { cwd: join(bo.home, 'copy') })).status, 0);

  const reads = await rows(`audit list --repo ${secret} --action git-upload-pack --since 30d`);

  t.strictSame(
    reads.map(({ principal, outcome }: { principal: string; outcome: string }) => [
      principal,
      outcome,
    ]),
    [
      ['user:bo', 'not_found'],
      ['user:eve', 'not_found'],
      ['user:cy', 'ok'],
      ['user:bo', 'ok'],
    ],
  );
  t.match(reads[3], { key: bo.key.fingerprint, address: '127.0.0.1', door: 'ssh' });
  t.strictSame(await rows(`audit list --repo ${secret} --action git-upload-pack --until 1d`), []);
  t.match(await cy.ssh(`audit list --repo ${secret}`), { status: 4 }, 'a reader is not told');
  t.match(await eve.ssh(`audit list --repo ${secret}`), { status: 3 }, 'nor a stranger');
  t.match((await house.operator(`audit list --repo ${secret} --user cy --json`)).stdout, /"show"/);
});

t.test('and who may read it now, by whatever gives it', async (t) => {
  await done(`sshkey add - --repo ${secret} --right read`, robot.line);
  const who = async () => {
    const found: { who: string; right: string; via: string }[] = await rows(
      `repo access list ${secret} --effective`,
    );
    return Object.fromEntries(found.map(({ who, right, via }) => [who, `${right}: ${via}`]));
  };
  const before = await who();
  t.strictSame(Object.keys(before), ['ada', 'ana', 'cy'], 'a pending key may nothing');
  t.match(before, { ada: /^owner: /, ana: /^owner: /, cy: /^read: .*team/ });

  await done(`repo access grant ${secret} di admin`);
  await done('org team remove acme devs cy');
  await house.operator('user disable ana');
  await house.operator(['sshkey', 'add', robot.publicPath, '--repo', secret, '--right', 'read']);

  const { stdout } = await people.di.ssh(`repo access list ${secret} --effective --json`);
  t.match(JSON.parse(stdout), [
    { who: 'ada', right: 'owner' },
    { who: 'di', right: 'admin' },
    { who: `key:${robot.fingerprint}`, right: 'read' },
  ]);
  t.equal(JSON.parse(stdout).length, 3);

  await people.di.ssh(`repo set ${secret} --visibility internal`);
  const open = await people.di.ssh(`repo access list ${secret} --effective`);
  t.match(open.stdout, /^eve\tread\t.*internal/m, 'everybody, once it is internal');
  t.match(await cy.ssh(`repo access list ${secret} --effective`), { status: 4 });
});
