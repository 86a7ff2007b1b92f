import { readdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { House } from './support/house.ts';
import type { Person } from './support/person.ts';
import { must } from './support/process.ts';
import { type Call, mayTrace, strace } from './support/strace.ts';

const watched = ['fsync', 'fdatasync', 'rename', 'link', 'unlink', 'execve', 'write', 'writev'];

const receivePack = '["git", "receive-pack", "--stateless-rpc"';

/** What one push did, call by call, from the moment when the client was started. */
class Trace {
  readonly calls: readonly Call[];

  constructor(calls: readonly Call[]) {
    this.calls = calls.filter(({ result }) => !result.startsWith('-1'));
  }

  /** When a file or folder was synced, its path without all up to `.git/`. Each time it was. */
  syncs(path: string): number[] {
    return this.calls
      .filter(({ name, args }) => /^f(data)?sync$/.test(name) && inside(inBrackets(args)) === path)
      .map(({ ended }) => ended);
  }

  /** When names appeared or vanished: the new name of a rename or link, the old one of an unlink. */
  named(path: RegExp, how: 'rename' | 'link' | 'unlink' | 'any' = 'any'): Call[] {
    return this.calls.filter(({ name, args }) => {
      if (how === 'any' ? !['rename', 'link', 'unlink'].includes(name) : name !== how) return false;
      return path.test(inside(quoted(args).at(-1) ?? ''));
    });
  }

  /** When a git program was started. @param argv - as strace shows it */
  started(argv: string): number {
    const found = this.calls.find(({ name, args }) => name === 'execve' && args.includes(argv));
    return found?.ended ?? Number.NaN;
  }

  /** When anything was sent to the client after `since`. strace does not always get to know that a socket is TCP's. */
  sent(since: number): number[] {
    return this.calls
      .filter(({ name, args }) => /^writev?$/.test(name) && /^\d+<(TCP|socket:)/.test(args))
      .map(({ began }) => began)
      .filter((at) => at > since);
  }
}

const inBrackets = (args: string) => /^\d+<(.*)>/.exec(args)?.[1] ?? '';
const quoted = (args: string) => [...args.matchAll(/"([^"]*)"/g)].map(([, path = '']) => path);
const inside = (path: string) => path.replace(/^.*\.git\//, '').replace(/^\.\//, '');

/** Whether one of the times lies between two others. */
const within = (times: readonly number[], after: number, before: number) =>
  times.some((at) => at > after && at < before);

let house: House;
let ada: Person;
let work: string;

t.before(async () => {
  house = await House.open(t);
  ada = house.admin;
  work = await ada.worktree();
  const { status } = await ada.ssh('init app');
  if (status !== 0) throw new Error('no repository');
});

const git = async (...args: string[]) =>
  (await must('git', args, { cwd: work, env: ada.gitEnv() })).stdout.trim();
const commit = (text: string) => git('commit', '-q', '--allow-empty', '-m', text);

/** Pushes while the server is watched. */
async function push(what: string, { to = 'app' } = {}): Promise<Trace> {
  const watch = await strace(house.pid, watched);
  const answer = await ada.git(['push', '-q', ada.url(to), what], { cwd: work });
  const calls = await watch.stop();
  if (answer.status !== 0) throw new Error(answer.stderr);
  return new Trace(calls);
}

/** What holds for every push: journaled before git runs, its outcome committed before anything is told of it. */
function everyPush(t: Test, trace: Trace, moved: number): number {
  const database = trace.syncs(join(house.dataDir, 'cpm.db-wal'));
  const git = trace.started(receivePack);
  const told = trace.sent(moved);
  const report = told[0] ?? Number.NaN;
  const end = told.at(-1) ?? Number.NaN;
  t.ok(within(database, -1, git), 'the journal is on disk before git gets the push');
  t.ok(git < moved, 'git moves the ref');
  t.ok(within(database, moved, report), 'history is on disk before the report leaves');
  const commits = database.filter((at) => at > moved && at < end).length;
  t.ok(commits >= 2, 'the closed record is on disk before the exit status leaves');
  return report;
}

/** When a ref file got its name. */
function movedAt(trace: Trace, ref: string): number {
  return trace.named(new RegExp(`^${ref}$`), 'rename')[0]?.ended ?? Number.NaN;
}

/** A ref was synced under its other name, then renamed, then its folders were synced, all before something else. */
function writtenRef(t: Test, trace: Trace, ref: string, before: number): void {
  const moved = movedAt(trace, ref);
  t.ok(within(trace.syncs(`${ref}.lock`), -1, moved), `${ref} is synced, then renamed`);
  for (let folder = dirname(ref); folder !== '.'; folder = dirname(folder)) {
    t.ok(within(trace.syncs(folder), moved, before), `${folder} is synced`);
  }
}

/** A file was synced in the quarantine before it had a name, and its folder after it got its place. */
function writtenFile(t: Test, trace: Trace, path: RegExp, report: number): void {
  const pattern = path.source.replace(/^\^objects/, '^objects/tmp_objdir-incoming-[^/]+');
  const staged = trace.named(new RegExp(pattern), 'link')[0];
  const [from = ''] = quoted(staged?.args ?? '');
  const placed = trace.named(path, 'link')[0];
  const place = inside(quoted(placed?.args ?? '').at(-1) ?? '');
  t.match(basename(from), /^tmp_/, `${place} was written under another name`);
  t.ok(within(trace.syncs(inside(from)), -1, staged?.began ?? 0), 'its bytes are synced');
  for (let folder = dirname(place); folder !== '.'; folder = dirname(folder)) {
    const synced = within(trace.syncs(folder), placed?.ended ?? Number.NaN, report);
    t.ok(synced, `${folder} is synced`);
  }
}

const options = { skip: mayTrace() ? false : 'this account may not watch processes' };

t.test(
  'a new branch: loose objects, ref and folders are on disk before the report',
  options,
  async (t) => {
    await commit('second');
    const oids = (await git('rev-list', '--objects', '--no-object-names', 'HEAD')).split('\n');
    const ref = 'refs/heads/feature/one';

    const trace = await push(`main:${ref}`);

    const report = everyPush(t, trace, movedAt(trace, ref));
    writtenRef(t, trace, ref, report);
    t.equal(oids.length, 3);
    for (const oid of oids) {
      writtenFile(t, trace, new RegExp(`^objects/${oid.slice(0, 2)}/${oid.slice(2)}$`), report);
    }
  },
);

/** The folders of loose objects that a push had synced. */
const fanOutsIn = (trace: Trace) =>
  new Set(
    trace.calls
      .filter(({ name }) => /^f(data)?sync$/.test(name))
      .flatMap(({ args }) => /^objects\/([0-9a-f]{2})$/.exec(inside(inBrackets(args)))?.[1] ?? []),
  );

/** The objects of the last commit that the one before has not. */
const newest = async () =>
  (await git('rev-list', '--objects', '--no-object-names', 'HEAD', '^HEAD~1')).split('\n');

t.test(
  'folders that many pushes wrote to are synced once, and again when one writes to them',
  options,
  async (t) => {
    await ada.ssh('init often');
    for (let n = 0; n < 60; n++) writeFileSync(join(work, `few-${n}`), `few ${n}\n`);
    await git('add', '.');
    await commit('sixty objects');
    await push('main', { to: 'often' });
    const folders = new Set((await newest()).map((oid) => oid.slice(0, 2)));
    const loose = readdirSync(join(house.dataDir, 'repositories/ada/often.git/objects'));
    t.ok([...folders].every((folder) => loose.includes(folder)));
    await commit('looks at them again');
    await push('main', { to: 'often' });
    const before = await newest();
    let oid = '';
    for (let n = 0; !(folders.has(oid.slice(0, 2)) && !before.includes(oid)); n++) {
      writeFileSync(join(work, 'into-one'), `${n}\n`);
      oid = await git('hash-object', 'into-one');
    }
    await git('add', '.');
    await commit('into one of them');

    const trace = await push('main', { to: 'often' });

    const own = await newest();
    t.ok(own.includes(oid));
    const report = everyPush(t, trace, movedAt(trace, 'refs/heads/main'));
    for (const each of own) {
      writtenFile(t, trace, new RegExp(`^objects/${each.slice(0, 2)}/${each.slice(2)}$`), report);
    }
    // Those of the push before may be synced once more: they were too young to be told apart from what comes next.
    const due = new Set([...own, ...before].map((each) => each.slice(0, 2)));
    t.same(
      [...fanOutsIn(trace)].filter((folder) => !due.has(folder)),
      [],
    );
  },
);

t.test('an update by a pack that git keeps: pack and index are on disk too', options, async (t) => {
  await ada.git(['push', '-q', ada.url('app'), 'main'], { cwd: work });
  for (let n = 0; n < 120; n++) writeFileSync(join(work, `file-${n}`), `${n}\n`);
  await git('add', '.');
  await git('commit', '-q', '-m', 'many');
  const ref = 'refs/heads/main';

  const trace = await push('main');

  const report = everyPush(t, trace, movedAt(trace, ref));
  writtenRef(t, trace, ref, report);
  for (const end of ['pack', 'idx']) {
    writtenFile(t, trace, new RegExp(`^objects/pack/pack-[0-9a-f]+\\.${end}$`), report);
  }
});

t.test(
  'a forced update: the old tip is in the archive, on disk, before the report',
  options,
  async (t) => {
    const old = await git('rev-parse', 'main');
    await git('reset', '-q', '--hard', 'HEAD~1');
    await commit('other');
    const ref = 'refs/heads/main';

    const trace = await push('+main');

    const report = everyPush(t, trace, movedAt(trace, ref));
    writtenRef(t, trace, ref, report);
    writtenRef(t, trace, `refs/cpm/archive/${old}`, report);
  },
);

t.test(
  'a deletion: the tip is in the archive, on disk, before git hears of it',
  options,
  async (t) => {
    await commit('doomed');
    const old = await git('rev-parse', 'main');
    await push('main:refs/heads/doomed');
    const ref = 'refs/heads/doomed';

    const trace = await push(`:${ref}`);

    const gone = trace.named(new RegExp(`^${ref}$`), 'unlink')[0]?.ended ?? Number.NaN;
    const report = everyPush(t, trace, gone);
    t.ok(within(trace.syncs('refs/heads'), gone, report), 'the folder without it is synced');
    const begun = trace.started(receivePack);
    writtenRef(t, trace, `refs/cpm/archive/${old}`, begun);
  },
);

t.test(
  'a deletion of a packed ref: the file without it is on disk before the report',
  options,
  async (t) => {
    await push('main:refs/heads/packed');
    await must('git', ['pack-refs', '--all'], {
      cwd: join(house.dataDir, 'repositories/ada/app.git'),
    });

    const trace = await push(':refs/heads/packed');

    const rewritten = trace.named(/^packed-refs$/, 'rename')[0]?.ended ?? Number.NaN;
    const report = everyPush(t, trace, rewritten);
    t.ok(within(trace.syncs('packed-refs.new'), -1, rewritten), 'its bytes are synced');
    const folder = join(house.dataDir, 'repositories/ada/app.git');
    t.ok(within(trace.syncs(folder), rewritten, report), 'its name is synced');
  },
);

t.test(
  'a push that creates: the repository is on disk, with its name, before the report',
  options,
  async (t) => {
    const trace = await push('main', { to: 'born' });

    const report = everyPush(t, trace, movedAt(trace, 'refs/heads/main'));
    writtenRef(t, trace, 'refs/heads/main', report);
    const parent = join(house.dataDir, 'repositories/ada');
    const made = trace.calls.find(
      ({ name, args }) => name === 'rename' && args.endsWith(`"${parent}/born.git"`),
    );
    const [staged = ''] = quoted(made?.args ?? '');
    const placed = made?.ended ?? Number.NaN;
    for (const path of ['HEAD', 'config', 'cpm-id', 'refs', 'refs/heads', 'objects', '']) {
      const synced = trace.syncs(inside(join(staged, path)));
      t.ok(within(synced, -1, placed), `${path || 'the whole'} is synced before it has its name`);
    }
    t.ok(within(trace.syncs(parent), placed, report), 'its name is synced');
    t.ok(within(trace.syncs(dirname(parent)), placed, report), 'its namespace’s name is synced');
  },
);
