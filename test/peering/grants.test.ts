import { join } from 'node:path';
import t from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'dev', there: 'dev' });
const work = await hq.admin.worktree();
for (const house of [hq, b]) {
  await house.admin.ssh('org create acme');
  await house.admin.ssh('init acme/app');
}
await hq.admin.git(['push', '-q', hq.admin.url('acme/app'), 'main'], { cwd: work });

const asRoot = (house: House, words: string) => house.admin.ssh(words);
const mainOf = async (house: House): Promise<string> => {
  const path = join(house.dataDir, 'repositories/acme/app.git');
  return (await must('git', ['-C', path, 'for-each-ref', 'refs/heads/main'])).stdout;
};
const list = async (words: string) => JSON.parse((await asRoot(b, `${words} --json`)).stdout);

t.test('S19 the role dev alone gives a server nothing', async (t) => {
  t.match(await asRoot(hq, 'push acme/app --to b'), {
    status: 4,
    stderr: /b: acme\/app: it is not linked with hq here/,
  });
});

t.test('a server that was granted read may read, and may not write', async (t) => {
  t.match(await asRoot(b, 'repo access grant acme/app server:hq read --json'), {
    stdout: /"changed":true/,
  });
  t.match(await asRoot(b, 'repo access grant acme/app server:hq read'), { stdout: /already/ });

  t.match(await asRoot(hq, 'push acme/app --to b'), { status: 4, stderr: /read it, not write/ });
  t.strictSame(await list('repo access list acme/app'), [
    { who: 'server:hq', right: 'read', via: 'acme/app' },
  ]);
  t.match(await list('repo access list acme/app --effective'), [
    { who: 'bea' },
    { who: 'server:hq', right: 'read', via: 'read by a grant' },
  ]);
});

t.test('a server that was granted write on an org writes, under its rules', async (t) => {
  await asRoot(b, 'org access grant acme server:hq write');
  await asRoot(b, 'repo rules add acme/app main --deny create,update');

  t.match(await asRoot(hq, 'push acme/app --to b'), { stderr: /main: .*rule 1/ });
  t.equal(await mainOf(b), '');
  await asRoot(b, 'repo rules add acme/app v* --deny create --allow server:hq');
  await asRoot(b, 'repo rules remove acme/app 1 --yes');
  t.match(await asRoot(hq, 'push acme/app --to b'), { status: 0, stdout: /updated: 1 refs/ });
  t.equal(await mainOf(b), await mainOf(hq));
  t.match(await list('repo rules list acme/app'), [{ id: 2, allow: ['server:hq'] }]);
});

t.test('what is taken back holds at the next question', async (t) => {
  await asRoot(b, 'org access revoke acme server:hq');
  await hq.admin.git('commit -q --allow-empty -m two', { cwd: work });
  await hq.admin.git(['push', '-q', hq.admin.url('acme/app'), 'main'], { cwd: work });

  t.match(await asRoot(hq, 'push acme/app --to b'), { status: 4 });
  t.match(await asRoot(b, 'repo access revoke acme/app server:hq'), { status: 0 });
  t.match(await asRoot(hq, 'push acme/app --to b'), { status: 4 });
  t.match(await asRoot(b, 'repo access grant acme/app server:nosuch read'), {
    status: 3,
    stderr: /server:nosuch: no such server/,
  });
  t.match(await asRoot(b, 'repo access grant acme/app server:No read'), { status: 2 });
});
