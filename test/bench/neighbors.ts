import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Packets } from '../../src/core/neighbors/packets.ts';
import { flushPkt, pkt } from '../../src/model/pktline.ts';
import { beaconConfig, beaconPort } from '../support/beacon.ts';
import { House } from '../support/house.ts';
import { makeMachines, noNetworks } from '../support/networks.ts';
import { cleanEnv, must, run } from '../support/process.ts';
import { findProgram } from '../support/program.ts';
import { serve } from '../support/serve.ts';
import { measure, type Sample, spread } from './measure.ts';

type Print = (line?: string) => void;
type Closing = { teardown(close: () => unknown): void };

/**
 * What neighbors cost: how long it takes to look around where almost nobody answers, and what `ls-remote` costs at the
 * beacon against git's own daemon, with the real client and by the server alone.
 */
export async function neighbors(print: Print, closing: Closing, rounds: number): Promise<void> {
  await lists(print, closing, rounds);
  const reason = await noNetworks();
  if (reason === undefined) await looks(print, closing);
  else print(`looking around: not measured, ${reason}`);
}

/** Where a git client asks, and the server behind. */
interface Place {
  readonly name: 'cpm' | 'daemon';
  readonly pid: number;
  /** What /proc calls its processes. */
  readonly process: string;
  readonly port: number;
  path(repo: string): string;
}

const sizes = [10, 400, 5000];
const atOnce = 8;

async function lists(print: Print, closing: Closing, rounds: number): Promise<void> {
  const house = await House.open(closing, { config: beaconConfig });
  const plain = join(house.folder, 'plain');
  mkdirSync(plain);
  const daemon = await startDaemon(closing, plain);
  const places: readonly Place[] = [
    {
      name: 'cpm',
      pid: house.pid,
      process: 'node',
      port: beaconPort(house),
      path: (repo) => `${house.admin.name}/${repo}`,
    },
    { name: 'daemon', ...daemon, process: 'git-daemon', path: (repo) => `${repo}.git` },
  ];
  for (const refs of sizes) await makeRepository(house, plain, refs);
  const env = house.admin.gitEnv();
  print(`\n  ${''.padEnd(8)}${'  min ms   median      max  cpu ms  peak MB'.padStart(45)}`);
  for (const refs of sizes) {
    const repo = `r${refs}`;
    const client = (place: Place) => () =>
      must('git', ['ls-remote', '-q', `git://127.0.0.1:${place.port}/${place.path(repo)}`], {
        env,
      });
    const raw = (place: Place) => () => listRaw(place.port, place.path(repo));
    for (const [what, ask, times, lanes] of [
      ['git ls-remote', client, 20, 1],
      [`git ls-remote, ${atOnce} at once`, client, 80, atOnce],
      ['the same question by bare bytes', raw, 100, 1],
    ] as const) {
      const taken = { cpm: [] as Sample[], daemon: [] as Sample[] };
      // Round 0 warms caches and just-in-time code, and is thrown away.
      for (let round = 0; round <= rounds; round += 1) {
        for (const place of round % 2 === 0 ? places : places.toReversed()) {
          const work = () => repeat(ask(place), times, lanes);
          const sample = await measure(place.pid, place.process, work);
          if (round > 0) taken[place.name].push(sample);
        }
      }
      show(print, `${what}, ${refs} refs`, taken, times);
    }
  }
}

async function repeat(work: () => Promise<unknown>, times: number, lanes: number): Promise<void> {
  const lane = async () => {
    for (let nth = 0; nth < times / lanes; nth += 1) await work();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
}

function show(
  print: Print,
  title: string,
  taken: Readonly<Record<Place['name'], readonly Sample[]>>,
  times: number,
): void {
  print(`${title}: ${taken.cpm.length} pairs, times for one of ${times}`);
  for (const name of ['cpm', 'daemon'] as const) {
    const wall = spread(taken[name].map(({ wallMs }) => wallMs / times));
    const cpu = spread(taken[name].map(({ cpuMs }) => cpuMs / times));
    const peak = spread(taken[name].map(({ peakMb }) => peakMb));
    const figures = [wall.min, wall.median, wall.max, cpu.median];
    const shown = figures.map((ms) => ms.toFixed(2).padStart(9)).join('');
    print(`  ${name.padEnd(8)}${shown}${peak.max.toFixed(0).padStart(9)}`);
  }
  const ratios = (of: (sample: Sample) => number) =>
    spread(taken.cpm.map((sample, nth) => of(sample) / of(taken.daemon[nth] ?? sample)));
  const wall = ratios(({ wallMs }) => wallMs);
  const cpu = ratios(({ cpuMs }) => cpuMs);
  const shown = [wall.min, wall.median, wall.max, cpu.median].map((ratio) => ratio.toFixed(2));
  print(`  ratio   ${shown.map((ratio) => ratio.padStart(9)).join('')}`);
}

/** The same repository for both: branches and tags, packed. */
async function makeRepository(house: House, plain: string, refs: number): Promise<void> {
  const repo = `r${refs}`;
  const answer = await house.operator(`init ${house.admin.name}/${repo} --visibility public`);
  if (answer.status !== 0) throw new Error(answer.stderr);
  const bare = join(plain, `${repo}.git`);
  await must('git', ['init', '-q', '--bare', '-b', 'main', bare]);
  const ours = join(house.dataDir, 'repositories', house.admin.name, `${repo}.git`);
  for (const path of [bare, ours]) {
    const git = async (...words: string[]) =>
      (await must('git', ['-C', path, ...words], { env: author, stdin: '' })).stdout.trim();
    const oid = await git('commit-tree', '-m', 'one', await git('mktree'));
    const names = ['main', ...Array.from({ length: refs - 1 }, (_, nth) => `branch/${nth}`)];
    const lines = names.sort().map((name) => `${oid} refs/heads/${name}\n`);
    const head = '# pack-refs with: peeled fully-peeled sorted \n';
    writeFileSync(join(path, 'packed-refs'), [head, ...lines].join(''));
  }
}

const author = {
  ...{ GIT_AUTHOR_NAME: 'bench', GIT_AUTHOR_EMAIL: 'bench@example.org' },
  ...{ GIT_COMMITTER_NAME: 'bench', GIT_COMMITTER_EMAIL: 'bench@example.org' },
  ...{ GIT_AUTHOR_DATE: '1800000000 +0000', GIT_COMMITTER_DATE: '1800000000 +0000' },
};

/** What `git ls-remote` says in protocol v2, without the cost of a client. */
async function listRaw(port: number, path: string): Promise<void> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.write(pkt(`git-upload-pack /${path}\0host=127.0.0.1\0\0version=2\0`));
  const packets = new Packets(socket);
  const toFlush = async () => {
    for (;;) if ((await packets.next(65520))?.kind !== 'data') return;
  };
  await toFlush();
  const asked = ['command=ls-refs\n', 'object-format=sha1'].map((line) => pkt(line));
  const words = [pkt('peel\n'), pkt('symrefs\n'), flushPkt];
  socket.write(Buffer.concat([...asked, Buffer.from('0001'), ...words]));
  await toFlush();
  socket.end(flushPkt);
  socket.resume();
  await once(socket, 'close');
}

async function startDaemon(closing: Closing, folder: string) {
  const free = createServer();
  await once(free.listen(0, '127.0.0.1'), 'listening');
  const { port } = free.address() as AddressInfo;
  free.close();
  // The program itself: `git daemon` would be one process more.
  const { stdout } = await must('git', ['--exec-path']);
  const place = ['--listen=127.0.0.1', `--port=${port}`, '--reuseaddr', `--base-path=${folder}`];
  const child: ChildProcess = spawn(join(stdout.trim(), 'git-daemon'), ['--export-all', ...place], {
    env: cleanEnv({ HOME: folder }),
    stdio: 'ignore',
  });
  closing.teardown(() => child.kill());
  for (;;) {
    const socket = connect({ port, host: '127.0.0.1' });
    const answers = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (answers) return { pid: child.pid ?? 0, port };
  }
}

const servers = ['alpha', 'beta', 'gamma', 'delta'] as const;

/** Networks made for it: a /24 with four servers and nobody else, and a /20 in which all are silent. */
async function looks(print: Print, closing: Closing): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  closing.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const machines = await makeMachines(closing, {
    seeker: { 1: '10.78.1.1/24' },
    alpha: { 1: '10.78.1.10/24' },
    beta: { 1: '10.78.1.70/24' },
    gamma: { 1: '10.78.1.130/24' },
    delta: { 1: '10.78.1.250/24' },
    sink: { 1: '10.78.1.2/24' },
  });
  const [, , , seeker] = machines.seeker.inside;
  const there = new Set(
    Object.values(machines).map(({ addresses }) => addresses[1]?.split('/')[0]),
  );
  const silent = Array.from({ length: 254 }, (_, nth) => `10.78.1.${nth + 1}`).filter(
    (address) => !there.has(address),
  );
  const dead = 'lladdr 02:00:00:00:de:ad nud permanent dev eth1';
  const lines = silent.map((address) => `neigh add ${address} ${dead}`);
  // What is sent there ends at a machine that passes nothing on.
  lines.push('route add 10.79.0.0/20 via 10.78.1.2');
  await must('ip', ['-n', seeker ?? '', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
  for (const name of servers) {
    const env = {
      ...{ HOME: folder, CPM_DATA_DIR: join(folder, name), CPM_ADMIN: 'ada' },
      ...{ CPM_NEIGHBORS__LISTEN: '0.0.0.0:9418', CPM_SYNC__CONCURRENCY: '0' },
    };
    const args = ['--listen', '0.0.0.0:2222'];
    await serve(closing, { env, args, wrapper: machines[name].inside }).says(/listening on git/);
  }
  const env = { HOME: folder, CPM_DATA_DIR: join(folder, 'seeker'), CPM_ADMIN: 'ada' };
  const house = serve(closing, { env, wrapper: machines.seeker.inside });
  await house.says(/listening on ssh/);
  const [program = '', ...words] = [...machines.seeker.inside, ...findProgram().command];
  print();
  for (const [what, flags, found] of [
    ['a /24 with 4 servers and 248 silent hosts', [], servers.length],
    ['a /20 of silent hosts', ['--network', '10.79.0.0/20'], 0],
  ] as const) {
    const begun = performance.now();
    const asked = [...words, 'neighbors', 'discover', '--json', ...flags];
    const { stdout, stderr } = await run(program, asked, { env });
    const seconds = (performance.now() - begun) / 1000;
    const rows = JSON.parse(stdout) as unknown[];
    if (rows.length !== found) throw new Error(`${rows.length} servers were found\n${stderr}`);
    const [counted = ''] = stderr.split('\n');
    print(`neighbors discover, ${what}: ${seconds.toFixed(1)} s (${counted})`);
  }
}
