import { join } from 'node:path';
import t from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
await hq.admin.ssh('org create acme');
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const url = hq.admin.url('acme/app');

async function refsOf(house: House, repo = 'acme/app'): Promise<string> {
  const path = join(house.dataDir, 'repositories', `${repo}.git`);
  const args = ['for-each-ref', 'refs/heads', 'refs/tags', '--format=%(objectname) %(refname)'];
  return (await must('git', ['-C', path, ...args])).stdout;
}

t.test('what is pushed to a main is on its backup at once', async (t) => {
  const begun = performance.now();
  t.match(await git(`push -q ${url} main main:dev`), { status: 0 });
  for (let i = 0; i < 40; i++) {
    const { stdout } = await hq.admin.ssh('servers list --json');
    const refs = await refsOf(b).catch(() => '');
    t.comment(performance.now() - begun, stdout, refs);
    if (refs.includes('main')) break;
    await new Promise((r) => setTimeout(r, 100));
  }
  t.equal(await refsOf(b), await refsOf(hq));
  t.comment((await hq.admin.ssh('audit list')).stdout);
  t.comment((await hq.admin.ssh('events --since 0')).stdout);
  t.comment(hq.stderr);
  t.comment(b.stderr);
});
