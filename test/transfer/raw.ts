import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import type { Test } from 'tap';
import { flushPkt, type Pkt, pkt, readPkt } from '../../src/model/pktline.ts';
import { nullOid } from '../../src/model/ref.ts';
import { NewObjects } from '../../src/programs/objects.ts';
import { environmentOf, listProcesses } from '../../src/programs/processes.ts';
import { RefAnswers } from '../../src/programs/ref-answers.ts';
import { receivePack } from '../../src/transfer/receive-pack/plan.ts';
import { clientEnvironment, type House } from './hub.ts';

/** A push made of bytes, against the gate in this process. */
export interface RawPush {
  write(...bytes: (string | Buffer)[]): void;
  /** Half-closes. */
  end(): void;
  /** As a connection that broke. */
  leave(reason?: unknown): void;
  /** The talk's status, or what it threw. */
  readonly done: Promise<unknown>;
  /** All that the client got after the advertisement. */
  answer(): RawAnswer;
  /** Waits for the advertisement, then reads nothing until it is called again. */
  stopReading(): Promise<() => void>;
}

export interface RawAnswer {
  /** `unpack ok`, `ng refs/heads/x why`, … */
  readonly report: string[];
  readonly progress: string;
  readonly flushed: boolean;
  readonly stderr: string;
}

const usual = 'report-status side-band-64k object-format=sha1 agent=raw/1';

/** Commands as a client writes them: `OLD NEW REF`, capabilities behind the first, flush. */
export function commandBytes(lines: readonly string[], capabilities = usual): Buffer {
  const packets = lines.map((line, at) => pkt(at === 0 ? `${line}\0 ${capabilities}` : line));
  return Buffer.concat([...packets, flushPkt]);
}

export const create = (oid: string, ref: string): string => `${nullOid} ${oid} ${ref}`;

export function rawPush(house: House, directory = house.repo): RawPush {
  const stdin = new PassThrough();
  // Full after its first byte: a client that reads nothing is felt at once.
  const stdout = new PassThrough({ highWaterMark: 1 });
  const stderr = new PassThrough();
  const abort = new AbortController();
  let out = Buffer.alloc(0);
  let errors = '';
  stdout.on('data', (chunk: Buffer) => {
    out = Buffer.concat([out, chunk]);
  });
  stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const plan = receivePack.plan(['acme/app']);
  if (plan.right !== 'write') throw new Error('a push writes');
  const talk = {
    git: house.git,
    refAnswers: new RefAnswers(house.git),
    newObjects: new NewObjects(),
    directory,
    protocol: undefined,
    signal: abort.signal,
    stdio: { stdin, stdout, stderr },
  };
  const done = plan.talk(talk, house.push()).catch((error: unknown) => error);
  const answer = (): RawAnswer => ({ ...demultiplexed(out), stderr: errors });
  return {
    write: (...bytes) => {
      for (const one of bytes) stdin.write(one);
    },
    end: () => stdin.end(),
    leave: (reason) => {
      abort.abort(reason);
      if (reason === undefined) stdout.destroy();
    },
    done,
    answer,
    async stopReading() {
      while (!out.includes('0000', out.length - 4)) await once(stdout, 'data');
      stdout.pause();
      return () => stdout.resume();
    },
  };
}

function demultiplexed(bytes: Buffer): Omit<RawAnswer, 'stderr'> {
  const { packets, rest } = split(bytes);
  // The advertisement ends with the first flush.
  const answer = packets.slice(packets.findIndex(({ kind }) => kind === 'flush') + 1);
  const payloads = answer.flatMap((one) => (one.kind === 'data' ? [one.payload] : []));
  const isBanded = payloads.every((payload) => (payload[0] ?? 0) < 4);
  const band = (nth: number): Buffer =>
    Buffer.concat(payloads.filter((one) => one[0] === nth).map((one) => one.subarray(1)));
  const report = isBanded
    ? split(band(1)).packets.flatMap((one) => (one.kind === 'data' ? [one.payload] : []))
    : payloads;
  return {
    report: report.map((line) => line.toString().trimEnd()),
    progress: isBanded ? band(2).toString() : '',
    flushed: answer.at(-1)?.kind === 'flush' && rest.length === 0,
  };
}

function split(bytes: Buffer): { packets: Pkt[]; rest: Buffer } {
  const packets: Pkt[] = [];
  let rest = bytes;
  for (let read = readPkt(rest); read !== undefined; read = readPkt(rest)) {
    packets.push(read.pkt);
    rest = rest.subarray(read.next);
  }
  return { packets, rest };
}

/** A client's repository, with plain git. */
export interface Work {
  readonly directory: string;
  git(args: readonly string[], input?: string | Buffer): Promise<Buffer>;
  text(...args: string[]): Promise<string>;
  /** Commits a file, and answers the commit's oid. */
  commit(message: string, content?: string | Buffer): Promise<string>;
  /** A pack of all that `oids` reach, less what `without` reach. */
  pack(oids: readonly string[], without?: readonly string[]): Promise<Buffer>;
}

export async function makeWork(house: House, name = 'work'): Promise<Work> {
  const directory = join(house.root, name);
  const env = clientEnvironment(house);
  const git = (args: readonly string[], input: string | Buffer = ''): Promise<Buffer> =>
    output(spawn('git', ['-C', directory, ...args], { env }), input);
  await output(spawn('git', ['init', '-q', '-b', 'main', directory], { env }), '');
  const text = async (...args: string[]): Promise<string> => (await git(args)).toString().trim();
  return {
    directory,
    git,
    text,
    async commit(message, content = `${message}\n`) {
      const blob = (await git(['hash-object', '-w', '--stdin'], content)).toString().trim();
      await git(['update-index', '--add', '--cacheinfo', `100644,${blob},file`]);
      await git(['commit', '-q', '--allow-empty', '-m', message]);
      return text('rev-parse', 'HEAD');
    },
    pack: (oids, without = []) =>
      git(
        ['pack-objects', '--stdout', '--revs', '-q'],
        [...oids, ...without.map((oid) => `^${oid}`)].map((line) => `${line}\n`).join(''),
      ),
  };
}

async function output(child: ReturnType<typeof spawn>, input: string | Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let errors = '';
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr?.on('data', (chunk) => {
    errors += chunk;
  });
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(input);
  const [status] = await once(child, 'close');
  if (status !== 0) throw new Error(`git ended with ${status}: ${errors}`);
  return Buffer.concat(chunks);
}

/** What a push that was ended may not leave behind: a quarantine, or a process of the house. */
export async function leftIn(house: House): Promise<string[]> {
  const quarantines = readdirSync(join(house.repo, 'objects')).filter((name) =>
    name.startsWith('tmp_objdir'),
  );
  const children = await childrenOf(house);
  return [...quarantines, ...children.map((pid) => `process ${pid}`)];
}

/** The living processes of a house. */
export async function childrenOf({ houseId }: House): Promise<number[]> {
  const alive = (await listProcesses()).filter(({ state }) => state !== 'Z');
  const marks = await Promise.all(alive.map(({ pid }) => environmentOf(pid)));
  return alive.filter((_, at) => marks[at]?.includes(`CPM_HOUSE=${houseId}`)).map(({ pid }) => pid);
}

/** A house with one commit on main, pushed. */
export async function seeded(t: Test, house: House): Promise<{ work: Work; first: string }> {
  const work = await makeWork(house);
  const first = await work.commit('first');
  const push = rawPush(house);
  push.write(commandBytes([create(first, 'refs/heads/main')]), await work.pack([first]));
  push.end();
  t.equal(await push.done, 0);
  t.same(push.answer().report, ['unpack ok', 'ok refs/heads/main']);
  house.core.asked.length = 0;
  house.core.settled.length = 0;
  return { work, first };
}

/** Waits until so many pushes have a quarantine in a repository. */
export async function quarantinesIn(directory: string, count: number): Promise<void> {
  const folder = join(directory, 'objects');
  const now = (): number =>
    readdirSync(folder).filter((name) => name.startsWith('tmp_objdir-incoming')).length;
  const watcher = watch(folder);
  try {
    while (now() !== count) await once(watcher, 'change');
  } finally {
    watcher.close();
  }
}

/** A promise that a test settles. */
export function door(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open: () => open() };
}

/** Bytes that don't compress, the same each time. */
export function noise(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = 1;
  for (let at = 0; at + 4 <= size; at += 4) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes.writeUInt32LE((state ^ (state >>> 13)) >>> 0, at);
  }
  return bytes;
}
