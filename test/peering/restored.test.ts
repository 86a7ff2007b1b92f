import { renameSync } from 'node:fs';
import { join } from 'node:path';
import Sqlite from 'better-sqlite3';
import t from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
await hq.admin.ssh('org create acme');
const work = await hq.admin.worktree();
const git = (words: string) => hq.admin.git(words, { cwd: work });
const url = hq.admin.url('acme/app');
const json = async (house: House, words: string) =>
  JSON.parse((await house.admin.ssh(`${words} --json`)).stdout);
const bare = (house: House) => join(house.dataDir, 'repositories/acme/app.git');

async function refsOf(house: House, folder = 'refs/heads'): Promise<string[]> {
  const format = '--format=%(refname:short) %(objectname)';
  const { stdout } = await must('git', ['-C', bare(house), 'for-each-ref', folder, format]);
  return stdout.trim().split('\n');
}

/** @returns the commit that was acknowledged */
async function push(branch: string): Promise<string> {
  await git(`commit -q --allow-empty -m ${branch}`);
  const { status, stderr } = await git(`push -q ${url} HEAD:${branch}`);
  if (status !== 0) throw new Error(stderr);
  return (await git('rev-parse HEAD')).stdout.trim();
}

/** The epoch of the other's log of changes, as it was read last. */
function epochSeen(house: House): unknown {
  const db = new Sqlite(join(house.dataDir, 'cpm.db'), { readonly: true });
  try {
    return db.prepare('SELECT epoch FROM sync_peer').pluck().get();
  } finally {
    db.close();
  }
}

t.test(
  'a main restored from an old backup: what was acknowledged since is on its mirror',
  async (t) => {
    t.match(await b.admin.ssh('servers follow hq --identities'), { status: 0 });
    const old = await push('main');
    await push('gone');
    t.match(await hq.admin.ssh('servers sync b'), { status: 0 });
    const place = join(hq.folder, 'backup');
    const passphrase = { stdin: 'horse\n' };
    t.match(await hq.operator(`backup create ${place} --with-keys`, passphrase), { status: 0 });
    const newest = await push('main');
    const late = await push('late');
    await git(`push -q ${url} :gone`);
    await hq.person('cy');
    t.match(await hq.admin.ssh('servers sync b'), { status: 0 });
    t.match(await b.admin.ssh('servers sync hq'), { status: 0 });
    const epoch = epochSeen(b);
    t.same(await refsOf(b), [`late ${late}`, `main ${newest}`]);

    await hq.stop();
    renameSync(hq.dataDir, join(hq.folder, 'lost'));
    const restored = await hq.operator(`backup restore ${place} --confirm-keys`, passphrase);
    t.match(restored, { status: 0 });
    await hq.restart();
    const why = /acme\/app: held.*set back to an older copy.*--allow-shrink/;
    t.match(await hq.admin.ssh('servers sync b'), { status: 5, stderr: why });
    t.match(await b.admin.ssh('servers sync hq'), { status: 5, stderr: why });
    t.ok((await refsOf(b)).includes(`main ${newest}`), 'it may be all that still has it');
    t.match(await json(b, 'servers list'), [{ state: 'held' }]);
    t.match(await b.admin.ssh('servers sync hq --allow-shrink'), { status: 0 });
    t.match(await hq.admin.ssh('servers sync b'), { status: 0 });

    t.not(epochSeen(b), epoch, 'it is another log, and all is compared anew');
    t.match(await json(b, 'servers list'), [{ state: 'up', error: null }]);
    t.ok(
      (await refsOf(b)).includes(`late ${late}`),
      'what is merely absent there is deleted nowhere',
    );
    t.ok((await refsOf(b)).includes(`main ${old}`), 'a person allowed it');
    const kept = [...(await refsOf(b)), ...(await refsOf(b, 'refs/cpm/archive'))];
    t.ok(
      kept.some((line) => line.endsWith(newest)),
      'a value that gives way to an older one is kept',
    );
    await must('git', ['-C', bare(b), 'fsck', '--strict']);

    await git(`reset -q --hard ${old}`);
    const after = await push('main');
    t.match(await hq.admin.ssh('servers sync b'), { status: 0 });
    t.ok((await refsOf(b)).includes(`main ${after}`), 'the two go on');
  },
);
