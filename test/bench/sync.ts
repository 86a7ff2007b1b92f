import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { House } from '../support/house.ts';
import { hostKeyOf, introduce, serverKeyOf } from '../support/pair.ts';
import { quoteWords } from '../support/person.ts';
import { must } from '../support/process.ts';
import { type Relay, startRelay } from '../support/relay.ts';
import { idle, lag } from './continuous.ts';
import { generatedRepository } from './generate.ts';
import { cpuMs, settled, spread } from './measure.ts';
import { algorithms } from './side.ts';
import { startGitShell } from './sshd.ts';

type Print = (line?: string) => void;
type Closing = { teardown(close: () => unknown): void };

/** One way to keep a repository equal with a copy on another server, each with a source and a copy of its own. */
interface Way {
  readonly name: string;
  /** The bare repository that changes are made in. @param name - of the pair */
  source(name: string): string;
  copy(name: string): string;
  /** Makes what must be there before the first sync. */
  prepare(name: string): Promise<void>;
  sync(name: string): Promise<unknown>;
  readonly relay: Relay;
  /** Servers at work, besides what this process starts. */
  readonly pids: readonly number[];
}

interface Sample {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly bytes: number;
  readonly connections: number;
}

async function measured(way: Way, name: string): Promise<Sample> {
  const pids = [process.pid, ...way.pids];
  const cpu = () => pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
  for (const pid of way.pids) await settled(pid);
  const before = { cpu: cpu(), ...way.relay.passed };
  const begin = performance.now();
  await way.sync(name);
  const wallMs = performance.now() - begin;
  for (const pid of way.pids) await settled(pid);
  const { bytes, connections } = way.relay.passed;
  return {
    wallMs,
    cpuMs: cpu() - before.cpu,
    bytes: bytes - before.bytes,
    connections: connections - before.connections,
  };
}

const refsOf = async (path: string) =>
  (await must('git', ['-C', path, 'for-each-ref', 'refs/heads', 'refs/tags'])).stdout;

const env = {
  GIT_AUTHOR_NAME: 'bench',
  GIT_AUTHOR_EMAIL: 'bench@example.org',
  GIT_COMMITTER_NAME: 'bench',
  GIT_COMMITTER_EMAIL: 'bench@example.org',
};

async function commit(path: string): Promise<void> {
  const git = async (...words: string[]) =>
    (await must('git', ['-C', path, ...words], { env })).stdout.trim();
  const blob = await must('git', ['-C', path, 'hash-object', '-w', '--stdin'], {
    stdin: `${process.hrtime.bigint()}\n`,
  });
  const list = `100644 blob ${blob.stdout.trim()}\tnow\n`;
  const tree = (await must('git', ['-C', path, 'mktree'], { stdin: list })).stdout.trim();
  const made = await git('commit-tree', '-p', 'refs/heads/main', '-m', 'one', tree);
  await git('update-ref', 'refs/heads/main', made);
}

/** Puts a repository's objects and refs into another, as they lie. */
function fill(from: string, to: string): void {
  cpSync(join(from, 'objects'), join(to, 'objects'), { recursive: true });
  cpSync(join(from, 'packed-refs'), join(to, 'packed-refs'));
}

async function startWays(closing: Closing, folder: string, origin: string): Promise<Way[]> {
  const [hq, b] = await Promise.all([
    House.open(closing, { admin: 'ada' }),
    House.open(closing, { admin: 'bea' }),
  ]);
  const relay = async (port: number) => {
    const made = await startRelay(port);
    closing.teardown(() => made.close());
    return made;
  };
  const cpmRelay = await relay(b.port);
  await introduce(b, hq, { name: 'hq', role: 'main' });
  const flags = ['--role', 'backup', '--fingerprint', await hostKeyOf(b), '--key', '-'];
  const added = await hq.operator(
    ['servers', 'add', 'b', `cpm@127.0.0.1:${cpmRelay.port}`, ...flags],
    { stdin: serverKeyOf(b) },
  );
  if (added.status !== 0) throw new Error(added.stderr);
  await hq.operator('org create acme');
  const live = (house: House, name: string) =>
    join(house.dataDir, 'repositories', 'acme', `${name}.git`);
  const sshd = await startGitShell(join(folder, 'sshd'), hq.admin.key, algorithms, '');
  closing.teardown(sshd.stop);
  const cpm: Way = {
    name: 'cpm push',
    relay: cpmRelay,
    pids: [hq.pid, b.pid],
    source: (name) => live(hq, name),
    copy: (name) => live(b, name),
    prepare: async (name) => {
      await hq.operator(`init acme/${name}`);
      fill(origin, live(hq, name));
    },
    sync: async (name) => {
      const { status, stderr } = await hq.operator(`push acme/${name} --to b --json`);
      if (status !== 0) throw new Error(stderr);
    },
  };
  const plain = async (name: string, sync: (paths: Paths, ssh: string) => Promise<unknown>) => {
    const own = await relay(sshd.port);
    const at = (kind: string) => (repo: string) => join(folder, `${name}-${kind}-${repo}.git`);
    const paths = (repo: string) => ({
      source: at('source')(repo),
      copy: at('copy')(repo),
      host: `${sshd.user}@127.0.0.1`,
    });
    const ssh = quoteWords(['ssh', ...hq.admin.sshOptions(), '-p', String(own.port)]);
    const way: Way = {
      name: name.replaceAll('-', ' '),
      relay: own,
      pids: [sshd.pid],
      source: at('source'),
      copy: at('copy'),
      prepare: async (repo) => {
        for (const path of [at('source')(repo), at('copy')(repo)]) {
          await must('git', ['init', '-q', '--bare', '-b', 'main', path]);
          await must('git', ['-C', path, 'config', 'gc.auto', '0']);
          await must('git', ['-C', path, 'config', 'receive.autogc', 'false']);
        }
        fill(origin, at('source')(repo));
      },
      sync: (repo) => sync(paths(repo), ssh),
    };
    return way;
  };
  const gitEnv = (ssh: string) => ({ ...hq.admin.gitEnv(), GIT_SSH_COMMAND: ssh });
  return [
    cpm,
    await plain('git-push', ({ source, copy, host }, ssh) =>
      must('git', ['-C', source, 'push', '-q', '--mirror', `${host}:${copy}`], {
        env: gitEnv(ssh),
      }),
    ),
    await plain('git-fetch', ({ source, copy, host }, ssh) =>
      must('git', ['-C', copy, 'fetch', '-q', '--prune', `${host}:${source}`, '+refs/*:refs/*'], {
        env: gitEnv(ssh),
      }),
    ),
    await plain('rsync', ({ source, copy, host }, ssh) =>
      must('rsync', [
        '-az',
        '--delete',
        '-e',
        ssh.replaceAll("'", ''),
        `${source}/`,
        `${host}:${copy}/`,
      ]),
    ),
  ];
}

interface Paths {
  readonly source: string;
  readonly copy: string;
  readonly host: string;
}

interface Task {
  readonly name: string;
  readonly isFirst: boolean;
  before(way: Way, name: string): Promise<unknown>;
}

const tasks: readonly Task[] = [
  { name: 'first sync', isFirst: true, before: (way, name) => way.prepare(name) },
  { name: 'nothing changed', isFirst: false, before: async () => undefined },
  { name: 'one commit', isFirst: false, before: (way, name) => commit(way.source(name)) },
  {
    name: 'one commit after a full repack',
    isFirst: false,
    before: async (way, name) => {
      await must('git', ['-C', way.source(name), 'repack', '-adq']);
      await commit(way.source(name));
    },
  },
];

/** What sync costs: cpm between two servers, against git and rsync over this machine's sshd, in turns. */
export async function sync(print: Print, counts: readonly number[], rounds: number): Promise<void> {
  const closing: (() => unknown)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'cpm-bench-sync-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  try {
    for (const refs of counts) {
      const origin = await generatedRepository({ commits: refs, filesPerCommit: 1, refs });
      await must('git', ['-C', origin, 'pack-refs', '--all']);
      const at = join(folder, String(refs));
      const ways = await startWays({ teardown: (close) => closing.push(close) }, at, origin);
      print(`\n${refs} refs: bytes of all TCP connections, CPU of both sides and all they start`);
      print(
        `  ${''.padEnd(12)}${'  wall ms    cpu ms        bytes  connections   wall, cpu, bytes: cpm/it'}`,
      );
      for (const task of tasks) await compare(print, ways, { task, rounds });
    }
    print();
    const later = { teardown: (close: () => unknown) => void closing.push(close) };
    for (const refs of counts) await lag(print, later, { refs, pushes: 3 * rounds });
    await idle(print, later, { repos: 10_000, rounds: 10 * rounds });
  } finally {
    for (const close of closing.reverse()) await close();
  }
}

async function compare(
  print: Print,
  ways: readonly Way[],
  { task, rounds }: { task: Task; rounds: number },
): Promise<void> {
  const taken = new Map<string, Sample[]>(ways.map(({ name }) => [name, []]));
  let wrong = 0;
  for (let round = 0; round <= rounds; round += 1) {
    const name = task.isFirst ? `r${round}` : 'r0';
    const order = round % 2 === 0 ? ways : ways.toReversed();
    for (const way of order) {
      await task.before(way, name);
      const sample = await measured(way, name);
      const [source, copy] = [await refsOf(way.source(name)), await refsOf(way.copy(name))];
      if (source !== copy || source === '') {
        // rsync compares sizes and whole seconds: a ref that moved twice within one is left as it was.
        if (way.name !== 'rsync') throw new Error(`${way.name}: the refs differ`);
        wrong += 1;
      }
      // Round 0 warms caches and just-in-time code.
      if (round > 0 || rounds === 0) taken.get(way.name)?.push(sample);
    }
  }
  const missed = wrong === 0 ? '' : `; rsync left ${wrong} copies with an old ref`;
  print(`${task.name}: ${Math.max(1, rounds)} rounds${missed}`);
  const of = (name: string, part: keyof Sample) =>
    spread((taken.get(name) ?? []).map((each) => each[part])).median;
  for (const { name } of ways) {
    const figures = `${of(name, 'wallMs').toFixed(0).padStart(9)}${of(name, 'cpuMs').toFixed(0).padStart(10)}${of(name, 'bytes').toFixed(0).padStart(13)}${String(of(name, 'connections')).padStart(13)}`;
    const ratios = (['wallMs', 'cpuMs', 'bytes'] as const).map((part) =>
      (of('cpm push', part) / of(name, part)).toFixed(2).padStart(8),
    );
    print(`  ${name.padEnd(12)}${figures}   ${name === 'cpm push' ? '' : ratios.join('')}`);
  }
}
