import { join, resolve } from 'node:path';
import t from 'tap';
import type { House } from '../support/house.ts';
import { openPair } from '../support/pair.ts';
import { must } from '../support/process.ts';
import { type Call, strace } from '../support/strace.ts';

const { hq, b } = await openPair(t, { here: 'main', there: 'backup' });
await hq.admin.ssh('org create acme');
await hq.admin.ssh('init acme/app');
const work = await hq.admin.worktree();
const url = hq.admin.url('acme/app');
const push = async (branch: string): Promise<void> => {
  await hq.admin.git('commit -q --allow-empty -m more', { cwd: work });
  await hq.admin.git(['push', '-q', url, `HEAD:refs/heads/${branch}`], { cwd: work });
};

const starts = ['execve', 'clone', 'clone3', 'vfork', 'fork'];
const touching = ['openat', 'open', 'rename', 'renameat', 'renameat2', 'unlink', 'unlinkat'];
const making = ['link', 'linkat', 'symlink', 'symlinkat', 'mkdir', 'mkdirat', 'mknodat', 'chdir'];

/** A folder on the way to another is looked up, and nothing in it. */
const isWalk = (args: string) => args.includes('O_PATH|O_DIRECTORY');

/** Each path that a call names, by itself or below a folder that is open. */
function pathsIn(args: string): string[] {
  const named = args.matchAll(/(?:\w+<([^>]*)>, )?"([^"]*)"/g);
  return [...named].map(([, folder = '/', name = '']) => resolve(folder, name));
}

/** The paths in a house that processes which are rsync touched. */
function touchedByRsync(calls: readonly Call[], { dataDir }: House): string[] {
  const programs = new Map<number, string>();
  const touched: string[] = [];
  for (const { tid, name, args, result } of calls) {
    if (name === 'execve') {
      if (result.startsWith('0')) programs.set(tid, /"([^"]*)"/.exec(args)?.[1] ?? '');
    } else if (starts.includes(name)) {
      programs.set(Number(result), programs.get(tid) ?? '');
    } else if (programs.get(tid)?.endsWith('/rsync') === true && !isWalk(args)) {
      touched.push(...pathsIn(args).filter((path) => path.startsWith(dataDir)));
    }
  }
  return touched;
}

t.test('S24 rsync touches a session of its own, and nothing else of a server', async (t) => {
  await push('main');
  await hq.admin.ssh('push acme/app --to b');
  const seen = await Promise.all(
    [hq, b].map(({ pid }) => strace(pid, [...starts, ...touching, ...making])),
  );
  const stop = new AbortController();
  const live = join(hq.dataDir, 'repositories/acme/app.git');
  const busy = (async () => {
    for (let at = 0; !stop.signal.aborted; at += 1) {
      await push(`busy-${at % 3}`);
      await must('git', ['-C', live, 'repack', '-adq']);
    }
  })();
  for (const words of ['push acme/app --to b', 'push acme/app --to b']) {
    await push('main');
    t.match(await hq.admin.ssh(`${words} --json`), { status: 0, stdout: /"transport":"rsync"/ });
  }
  await push('main');
  const pulled = await b.admin.ssh('pull acme/app --from hq --json');
  t.match(pulled, { status: 0, stdout: /"transport":"rsync"/ });
  stop.abort();
  await busy;

  const [here, there] = await Promise.all(seen.map((each) => each.stop()));
  for (const [house, calls] of [
    [hq, here],
    [b, there],
  ] as const) {
    const touched = touchedByRsync(calls ?? [], house);
    const session = `${house.dataDir}/incoming/sync-`;
    t.ok(touched.length > 5, `${touched.length} calls`);
    t.strictSame(
      touched.filter((path) => !path.startsWith(session)),
      [],
    );
  }
});
