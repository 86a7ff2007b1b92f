import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import type { Push, RefResult } from '../../src/core/push.ts';
import { UserError } from '../../src/model/errors.ts';
import type { RefCommand } from '../../src/model/ref.ts';
import { initBare } from '../../src/programs/bare.ts';
import { type Git, openGit } from '../../src/programs/git.ts';
import { NewObjects } from '../../src/programs/objects.ts';
import { RefAnswers } from '../../src/programs/ref-answers.ts';
import { transfers } from '../../src/transfer/index.ts';
import type { Talk } from '../../src/transfer/transfer.ts';

/** What the gate asked, in order; a stand-in for the core that the tests steer. */
export interface Core {
  readonly asked: string[];
  readonly settled: RefResult[];
  limits: { refsPerPush: number; packSizeBytes: number };
  /** Called at each decision with its number, from 1. */
  decide: (commands: readonly RefCommand[], nth: number) => readonly (string | undefined)[];
  /** Awaited within each decision. */
  pause: (nth: number) => Promise<void>;
  admit: (commands: readonly RefCommand[]) => Promise<string>;
  settle: (results: readonly RefResult[]) => Promise<readonly string[]>;
}

export interface House {
  readonly root: string;
  readonly git: Git;
  readonly houseId: string;
  readonly repo: string;
  readonly core: Core;
  /** The core's side of one push. */
  push(): Push;
}

/** A data directory with one empty repository. */
export async function makeHouse(t: Test): Promise<House> {
  const root = t.testdir({ home: {} });
  const houseId = randomUUID();
  const git = await openGit({ houseId, emptyHome: join(root, 'home') });
  const repo = join(root, 'repositories', 'acme', 'app.git');
  await initBare(repo, { defaultBranch: 'main', repoId: randomUUID() });
  const core: Core = {
    asked: [],
    settled: [],
    limits: { refsPerPush: 10_000, packSizeBytes: 2 ** 31 },
    decide: (commands) => commands.map(() => undefined),
    pause: async () => undefined,
    admit: async () => repo,
    settle: async () => [],
  };
  return { root, git, houseId, repo, core, push: () => pushOf(core) };
}

/** A push that no rule and no script has a say about. */
const noRules: Push['rules'] = {
  asksObjects: false,
  spawning: async () => ({ config: {}, hooks: undefined }),
  judgeObjects: async () => [],
  inOwnWords: (_, reason) => reason,
  explain: () => [],
};

function pushOf(core: Core): Push {
  let decisions = 0;
  return {
    get limits() {
      return core.limits;
    },
    rules: noRules,
    async decide(commands) {
      decisions += 1;
      const nth = decisions;
      core.asked.push(`decide ${commands.map(({ ref }) => ref).join(' ')}`);
      await core.pause(nth);
      return core.decide(commands, nth);
    },
    async admit(commands) {
      core.asked.push(`admit ${commands.map(({ ref }) => ref).join(' ')}`);
      return core.admit(commands);
    },
    async settle(results) {
      core.asked.push('settle');
      core.settled.push(...results);
      return core.settle(results);
    },
    async follow(options) {
      core.asked.push(`follow ${options.join(' ')}`);
      return [];
    },
  };
}

export interface Hub {
  readonly house: House;
  /** Runs a git client against the house, in `cwd`. Its remote is `cpm@hub:acme/app`. */
  client(cwd: string, ...args: string[]): Promise<Answered>;
  /** Starts one without waiting. */
  launch(cwd: string, ...args: string[]): ReturnType<typeof spawn>;
  /** Statuses, or what was thrown, of the talks so far. */
  readonly ended: unknown[];
  /** The next talk's end. */
  next(): Promise<unknown>;
}

export interface Answered {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export const remote = 'cpm@hub:acme/app';
const connector = fileURLToPath(new URL('../fixtures/connect.mjs', import.meta.url));

/** A door made of a Unix socket: real git clients reach the transfers through it. */
export async function openHub(t: Test, house: House, directory = house.repo): Promise<Hub> {
  const folder = mkdtempSync(join(tmpdir(), 'hub-'));
  const path = join(folder, 'hub');
  const ended: unknown[] = [];
  const waiting: ((end: unknown) => void)[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void serve(socket, house, directory).then((end) => {
      ended.push(end);
      waiting.shift()?.(end);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  t.teardown(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });
  const launch = (cwd: string, ...args: string[]) =>
    // A group of its own: git's helpers are killed with it.
    spawn('git', args, { cwd, env: clientEnvironment(house, path), stdio: 'pipe', detached: true });
  return {
    house,
    ended,
    launch,
    next: () => new Promise((resolve) => waiting.push(resolve)),
    client: (cwd, ...args) => finished(launch(cwd, ...args)),
  };
}

/** A child's end with all that it wrote. */
export async function finished(child: ReturnType<typeof spawn>): Promise<Answered> {
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  const [status] = await once(child, 'close');
  return { status, stdout, stderr };
}

/** The environment of a git client that knows nothing of this machine's settings. */
export function clientEnvironment(house: House, socket = ''): Record<string, string> {
  mkdirSync(join(house.root, 'home'), { recursive: true });
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    LC_ALL: 'C',
    HOME: join(house.root, 'home'),
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    GIT_AUTHOR_NAME: 'Ana',
    GIT_AUTHOR_EMAIL: 'ana@example.org',
    GIT_COMMITTER_NAME: 'Ana',
    GIT_COMMITTER_EMAIL: 'ana@example.org',
    GIT_SSH_VARIANT: 'ssh',
    GIT_SSH_COMMAND: `${process.execPath} ${connector} ${socket}`,
  };
}

async function serve(socket: Socket, house: House, directory: string): Promise<unknown> {
  const head = await readHead(socket);
  const abort = new AbortController();
  socket.on('error', () => undefined);
  socket.once('close', () => abort.abort());
  const stdin = new PassThrough();
  socket.pipe(stdin);
  const talk: Talk = {
    git: house.git,
    refAnswers: new RefAnswers(house.git),
    newObjects: new NewObjects(),
    directory,
    protocol: head.protocol,
    signal: abort.signal,
    stdio: { stdin, stdout: frames(socket, 1), stderr: frames(socket, 2) },
  };
  let end: unknown;
  try {
    end = await carry(head.command, talk, house);
  } catch (error) {
    end = error;
  }
  await Promise.all([flushed(talk.stdio.stdout), flushed(talk.stdio.stderr)]);
  if (socket.writable)
    socket.write(frame(3, Buffer.of(typeof end === 'number' ? end : statusOf(end))));
  socket.end();
  return end;
}

async function flushed(stream: Writable): Promise<void> {
  await new Promise<void>((resolve) => stream.end(() => resolve()));
}

function statusOf(error: unknown): number {
  return error instanceof UserError ? error.status : 1;
}

async function carry(command: string, talk: Talk, house: House): Promise<number> {
  const [program = '', ...words] = command.split(' ').map((word) => word.replace(/^'(.*)'$/, '$1'));
  const transfer = transfers.find((one) => one.program === program);
  const plan = transfer?.plan(words);
  if (plan === undefined) throw new Error(`no transfer ${program}`);
  return plan.right === 'write' ? plan.talk(talk, house.push()) : plan.talk(talk);
}

async function readHead(socket: Socket): Promise<{ command: string; protocol?: string }> {
  let held = Buffer.alloc(0);
  for (;;) {
    const end = held.indexOf(0x0a);
    if (end >= 0) {
      socket.unshift(held.subarray(end + 1));
      return JSON.parse(held.toString('utf8', 0, end));
    }
    const chunk: Buffer | null = socket.read();
    if (chunk === null) await once(socket, 'readable');
    else held = Buffer.concat([held, chunk]);
  }
}

function frames(socket: Socket, kind: number): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      if (!socket.writable) done();
      else socket.write(frame(kind, chunk), () => done());
    },
  });
}

function frame(kind: number, bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head[0] = kind;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}
