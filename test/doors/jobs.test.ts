import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import Sqlite from 'better-sqlite3';
import t, { type Test } from 'tap';
import type { Core } from '../../src/core/core.ts';
import { Clock } from '../../src/doors/clock.ts';
import { jobs } from '../../src/doors/jobs.ts';
import { nullOid } from '../../src/model/ref.ts';
import { takeStock } from '../../src/programs/tidy.ts';
import { archivePrefix } from '../../src/programs/tips.ts';
import type { Request } from '../../src/shell/request.ts';
import { createRun } from '../../src/shell/run.ts';
import { House } from '../core/house.ts';
import { actor } from '../store/actor.ts';

/** The jobs that keep house. */
const ours = (core: Core) =>
  jobs(core).filter(({ name }) => ['pack', 'trash', 'expire'].includes(name));

/** The hours of a house that go by fast: it ends once every one of some requests has been made. */
async function letRun(t: Test, core: Core, expected: readonly string[]): Promise<string[]> {
  const run = createRun(core);
  const asked: string[] = [];
  const all = new AbortController();
  const seen = async (request: Request) => {
    const status = await run(request);
    asked.push(request.words.join(' '));
    t.ok(status === 0 || request.signal.aborted, request.words.join(' '));
    if (expected.every((line) => asked.includes(line))) all.abort();
    return status;
  };
  const fast = ours(core).map((job) => ({ ...job, everyMs: () => 20 }));
  const clock = new Clock(fast, seen, core.log);
  const done = once(all.signal, 'abort');
  const alive = setTimeout(() => all.abort(), 20_000);
  clock.start();
  await done;
  clearTimeout(alive);
  await clock.stop();
  return asked;
}

/** What a command answers to the operator. */
async function answer(core: Core, ...words: string[]) {
  const stdout = new PassThrough();
  const chunks: Buffer[] = [];
  stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  await createRun(core)({
    id: crypto.randomUUID(),
    door: 'local',
    principal: { kind: 'operator' },
    address: undefined,
    words: [...words, '--json'],
    gitProtocol: undefined,
    stdio: { stdin: new PassThrough().end(), stdout, stderr: new PassThrough().resume() },
    signal: new AbortController().signal,
    terminal: undefined,
    directory: undefined,
  });
  return JSON.parse(Buffer.concat(chunks).toString());
}

t.test('what is due is done by itself, on record, and shown in status', async (t) => {
  const house = await House.open(t);
  const { core } = house;
  const [app, old, tips] = [
    await house.create('app'),
    await house.create('old'),
    await house.create('tips'),
  ];
  const tip = await house.commit(app, 'a commit');
  const many = Array.from({ length: 99 }, (_, n) => ({
    ref: `refs/heads/b${n}`,
    old: nullOid,
    new: tip,
  }));
  for (const { ref } of many.slice(0, 3)) await house.git(app, 'update-ref', ref, tip);
  await core.store.pushes.settle(app.id, 'git-receive-pack', { done: many, archived: [] }, actor());
  const lost = await house.commit(tips, 'lost');
  await house.git(tips, 'update-ref', `${archivePrefix}${lost}`, lost);
  const archived = [{ oid: lost, ref: 'refs/heads/x' }];
  await core.store.pushes.settle(tips.id, 'git-receive-pack', { done: [], archived }, actor());
  await core.trash.delete(old, actor());
  const due = ['repo maintain ada/app', 'repo maintain ada/tips'];
  t.same(await Promise.all(ours(core).map((job) => job.due())), [[], [], []], 'it is too early');
  const db = new Sqlite(core.config.databasePath);
  db.exec(`UPDATE repository SET updated_at = '2026-01-01T00:00:00.000Z';
    UPDATE archived_tip SET archived_at = '2020-01-01T00:00:00.000Z';
    UPDATE repository SET deleted_at = '2020-01-01T00:00:00.000Z' WHERE deleted_at IS NOT NULL`);
  db.close();

  const done = await letRun(t, core, [...due, 'repo trash empty --older 7776000s --yes']);

  t.strictSame([...new Set(done)].sort(), [...due, 'repo trash empty --older 7776000s --yes']);
  t.match(await takeStock(core.repos.directory(app)), { looseObjects: 0, looseRefs: 0, packs: 1 });
  t.equal(await house.git(tips, 'for-each-ref'), '');
  t.equal(await core.store.trash.byId(old.id), undefined);
  const rows = await answer(core, 'audit', 'list');
  t.match(
    rows.map(({ principal, door, action, target, outcome }: Record<string, string>) =>
      [principal, door, action, target, outcome].join(' '),
    ),
    new Set([
      'operator clock repo maintain ada/app ok',
      'operator clock repo maintain ada/tips ok',
      'operator clock repo trash empty  ok',
    ]),
  );
  t.match(await answer(core, 'status'), { maintenance: { running: null, last: /^ada\// } });
});
