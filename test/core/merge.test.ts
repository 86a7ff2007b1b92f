import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { type MergeRequest, mergeBranches } from '../../src/core/merge/merge.ts';
import type { Repository } from '../../src/store/repositories.ts';
import { actor } from '../store/actor.ts';
import { House } from './house.ts';

const main = 'refs/heads/main';
const house = await House.open(t);
const { signal } = new AbortController();
let scenes = 0;

/** A repository whose main and topic each have a commit of their own; files of both differ. */
async function scene(): Promise<{ repo: Repository; base: string; ours: string; theirs: string }> {
  scenes += 1;
  const repo = await house.create(`app${scenes}`);
  const base = await house.commit(repo, 'base');
  const ours = await house.commit(repo, 'ours', base);
  const theirs = await house.commit(repo, 'theirs', base);
  await house.git(repo, 'update-ref', main, ours);
  await house.git(repo, 'update-ref', 'refs/heads/topic', theirs);
  return { repo, base, ours, theirs };
}

function request(repo: Repository, more: Partial<MergeRequest> = {}): MergeRequest {
  const principal = { kind: 'operator' } as const;
  return { repo, principal, by: actor(), signal, source: 'topic', mode: 'merge', ...more };
}

/** Resolves once somebody waits for a ref that is held. */
async function waiting(): Promise<void> {
  while (house.core.repos.waiting === 0) await turn();
}

const incoming = () => readdirSync(join(house.dataDir, 'incoming'));

t.test('a target that moves meanwhile is merged into as it is then', async (t) => {
  const { repo, ours, theirs } = await scene();
  const release = await house.core.repos.holdRefs(repo.id, [main], signal);
  const merging = mergeBranches(house.core, request(repo));
  await waiting();
  const moved = await house.commit(repo, 'meanwhile', ours);
  await house.git(repo, 'update-ref', main, moved);
  release();

  const { result, commit } = await merging;
  t.equal(result, 'merged');
  t.equal(await house.git(repo, 'rev-parse', main), commit);
  t.equal(await house.git(repo, 'log', '-1', '--format=%P', main), `${moved} ${theirs}`);
  t.strictSame(incoming(), []);
});

t.test('a target that moves a second time is left alone', async (t) => {
  const { repo, ours } = await scene();
  const first = await house.core.repos.holdRefs(repo.id, [main], signal);
  const merging = mergeBranches(house.core, request(repo));
  await waiting();
  const second = house.core.repos.holdRefs(repo.id, [main], signal);
  const one = await house.commit(repo, 'one', ours);
  await house.git(repo, 'update-ref', main, one);
  first();
  const release = await second;
  await waiting();
  const two = await house.commit(repo, 'two', one);
  await house.git(repo, 'update-ref', main, two);
  release();

  await t.rejects(merging, { code: 'conflict', message: /"main" changed meanwhile/ });
  t.equal(await house.git(repo, 'rev-parse', main), two);
  t.strictSame(incoming(), []);
});

t.test('who goes away while it waits gets nothing done, and leaves nothing', async (t) => {
  const { repo, ours } = await scene();
  const release = await house.core.repos.holdRefs(repo.id, [main], signal);
  const gone = new AbortController();
  const merging = mergeBranches(house.core, request(repo, { signal: gone.signal }));
  await waiting();
  gone.abort();

  await t.rejects(merging, { code: 'unavailable' });
  release();
  t.equal(await house.git(repo, 'rev-parse', main), ours);
  t.strictSame(incoming(), []);
  t.equal(house.core.repos.waiting, 0);
});

t.test('a merge ends when it has had its time', async (t) => {
  const { repo, ours } = await scene();
  const release = await house.core.repos.holdRefs(repo.id, [main], signal);
  await t.rejects(mergeBranches(house.core, request(repo, { limitMs: 300 })), {
    code: 'unavailable',
    message: 'the merge took longer than 0.3 s',
  });
  release();
  t.equal(await house.git(repo, 'rev-parse', main), ours);
  t.strictSame(incoming(), []);
});

t.test('a rebase of many commits is kept as one pack, and all of it is there', async (t) => {
  const { repo, base, ours } = await scene();
  let tip = base;
  for (let nth = 0; nth < 120; nth += 1) tip = await house.commit(repo, `step ${nth}`, tip);
  await house.git(repo, 'update-ref', 'refs/heads/topic', tip);

  const { result, commit = '' } = await mergeBranches(
    house.core,
    request(repo, { mode: 'rebase' }),
  );

  t.equal(result, 'rebased');
  t.equal(await house.git(repo, 'rev-list', '--count', `${ours}..${commit}`), '120');
  t.match(await house.git(repo, 'count-objects', '-v'), /^packs: 1$/m);
  await house.git(repo, 'fsck', '--strict', '--connectivity-only');
});

t.test('S12 a branch that is a name for another is neither merged nor merged into', async (t) => {
  const { repo } = await scene();
  await house.git(repo, 'symbolic-ref', 'refs/heads/alias', main);
  for (const more of [{ source: 'alias' }, { into: 'alias' }])
    await t.rejects(mergeBranches(house.core, request(repo, more)), {
      code: 'conflict',
      message: /"alias" is a name for another ref/,
    });
});
