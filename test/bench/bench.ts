import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { must, run } from '../support/process.ts';
import { big, type Case, cases, pushAll } from './cases.ts';
import { front } from './front.ts';
import { full, generatedRepository, small } from './generate.ts';
import { measure, residentMb, type Sample, spread } from './measure.ts';
import { neighbors } from './neighbors.ts';
import { people } from './people.ts';
import { algorithms, type Side, type Sides, startSides } from './side.ts';
import { sync } from './sync.ts';
import { used } from './used.ts';

const { values } = parseArgs({
  options: {
    repo: { type: 'string' },
    only: { type: 'string' },
    against: { type: 'string' },
    pushes: { type: 'string' },
    rounds: { type: 'string' },
    small: { type: 'boolean', default: false },
  },
});

function print(line = ''): void {
  process.stdout.write(`${line}\n`);
}

/** What one server took for a case, a sample a round. */
type Pair = Readonly<Record<'cpm' | 'other', Sample>>;

/** Both in turns: who goes first changes from round to round. @throws when their refs differ after a round */
async function pairs(sides: Sides, task: Case, rounds: number): Promise<Pair[]> {
  const taken: Pair[] = [];
  // Round 0 warms caches and just-in-time code, and is thrown away.
  for (let round = 0; round <= rounds; round += 1) {
    const order = round % 2 === 0 ? [sides.cpm, sides.other] : [sides.other, sides.cpm];
    const samples = new Map<Side, Sample>();
    for (const side of order) {
      await task.before?.(side, round);
      samples.set(side, await measure(side.pid, side.process, () => task.run(side, round)));
      await task.after?.(side, round);
    }
    await refuseUnequalRefs(sides, task.repo(round));
    const [cpm, other] = [samples.get(sides.cpm), samples.get(sides.other)];
    if (round > 0 && cpm && other) taken.push({ cpm, other });
  }
  return taken;
}

async function refuseUnequalRefs({ cpm, other }: Sides, repo: string): Promise<void> {
  const [ours, theirs] = await Promise.all(
    [cpm, other].map((side) => side.git(['ls-remote', '-q', side.url(repo)])),
  );
  if (ours === theirs && ours !== '') return;
  throw new Error(`${repo}: the two servers hold different refs: nothing to compare`);
}

/** @returns the algorithms that a connection really used. @throws when they are not the pinned ones */
async function negotiated(side: Side): Promise<string> {
  const [program = '', ...args] = side.ssh;
  const words = [...args.slice(0, -1), '-v', '-o', 'LogLevel=DEBUG1', ...args.slice(-1), 'x'];
  const { stderr } = await run(program, words);
  const kex = /kex: algorithm: (\S+)/.exec(stderr)?.[1];
  const cipher = /kex: server->client cipher: (\S+)/.exec(stderr)?.[1];
  if (kex === algorithms.kex && cipher === algorithms.cipher) return `${kex}, ${cipher}`;
  throw new Error(`${side.name} negotiated ${kex}, ${cipher}, not ${Object.values(algorithms)}`);
}

function show({ cpm, other }: Sides, task: Case, taken: readonly Pair[]): void {
  print(
    `${task.name}: ${taken.length} pairs${task.times > 1 ? `, times for one of ${task.times}` : ''}`,
  );
  for (const [which, { name }] of Object.entries({ cpm, other })) {
    const samples = taken.map((pair) => pair[which as keyof Pair]);
    const wall = spread(samples.map(({ wallMs }) => wallMs / task.times));
    const cpu = spread(samples.map(({ cpuMs }) => cpuMs / task.times));
    const peak = spread(samples.map(({ peakMb }) => peakMb));
    const figures = [wall.min, wall.median, wall.max, cpu.median];
    const shown = figures.map((ms) => ms.toFixed(1).padStart(9)).join('');
    print(`  ${name.padEnd(8)}${shown}${peak.max.toFixed(0).padStart(9)}`);
  }
  const wall = spread(taken.map((pair) => pair.cpm.wallMs / pair.other.wallMs));
  const cpu = spread(taken.map((pair) => pair.cpm.cpuMs / pair.other.cpuMs));
  const ratios = [wall.min, wall.median, wall.max, cpu.median].map((ratio) => ratio.toFixed(2));
  print(`  ratio   ${ratios.map((ratio) => ratio.padStart(9)).join('')}`);
}

/** The bare repository that everything is pushed from: a copy, for the bench adds commits to it. */
async function sourceRepository(folder: string): Promise<{ source: string; branch: string }> {
  const origin = values.repo
    ? resolve(values.repo)
    : await generatedRepository(values.small ? small : full);
  const source = join(folder, 'source.git');
  const env = { HOME: folder, GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };
  await must('git', ['clone', '-q', '--bare', '--local', origin, source], { env });
  const { stdout } = await must('git', ['symbolic-ref', '--short', 'HEAD'], { cwd: source, env });
  return { source, branch: stdout.trim() };
}

async function bench(closing: (() => unknown)[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-bench-'));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  print('preparing the repository');
  const { source, branch } = await sourceRepository(folder);
  const against = values.against === 'gitolite' ? 'gitolite' : 'sshd';
  const sides = await startSides({ teardown: (close) => closing.push(close) }, { branch, against });
  const both = [sides.cpm, sides.other];
  print(`key exchange and cipher, alike for both: ${await negotiated(sides.cpm)}`);
  await negotiated(sides.other);
  for (const side of both) {
    print(`${side.name} idle: ${residentMb(side.pid, side.process).toFixed(1)} MB resident`);
    await side.create(big);
    await pushAll(side, source, big);
  }
  await refuseUnequalRefs(sides, big);
  print(
    'cpm checks what is pushed and syncs it to disk before it answers; sshd runs git as installed',
  );
  print(`\n  ${''.padEnd(8)}${'  min ms   median      max  cpu ms  peak MB'.padStart(45)}`);
  const wanted = cases(sides, source, branch).filter(({ name }) =>
    name.includes(values.only ?? ''),
  );
  if (wanted.length === 0) throw new Error(`no case is called ${values.only}`);
  for (const task of wanted) {
    const rounds = Number(values.rounds ?? (values.small ? 3 : task.rounds));
    show(sides, task, await pairs(sides, task, rounds));
  }
  print();
  for (const side of both) {
    print(
      `${side.name} after all that: ${residentMb(side.pid, side.process).toFixed(1)} MB resident`,
    );
  }
}

const closing: (() => unknown)[] = [];
try {
  if (values.only === 'people') {
    await people(print, values.small ? [10, 10_000] : [10, 10_000, 100_000, 1_000_000]);
  } else if (values.only === 'sync') {
    const rounds = Number(values.rounds ?? (values.small ? 3 : 7));
    await sync(print, values.small ? [500] : [500, 7000], rounds);
  } else if (values.only === 'used') {
    const pushes = Number(values.pushes ?? (values.small ? 100 : 1000));
    await used(print, pushes, Number(values.rounds ?? (values.small ? 3 : 9)));
  } else if (values.only === 'neighbors') {
    const rounds = Number(values.rounds ?? (values.small ? 3 : 9));
    await neighbors(print, { teardown: (close) => closing.push(close) }, rounds);
  } else if (values.only === 'front') {
    const rounds = Number(values.rounds ?? (values.small ? 3 : 21));
    const counts = values.small ? [1, 1000] : [1, 100_000];
    await front(print, { teardown: (close) => closing.push(close) }, { counts, rounds });
  } else await bench(closing);
} catch (error) {
  print(`\n${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  for (const close of closing.reverse()) await close();
}
