import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One system call. Numbers are places in the order in which strace saw things, over all processes. */
export interface Call {
  readonly tid: number;
  readonly name: string;
  /** What stands between the brackets, file descriptors with their paths. */
  readonly args: string;
  readonly began: number;
  /** Infinity for one that never came back. */
  readonly ended: number;
  /** `0`, `-1 ENOENT (No such file or directory)`; empty for one that never came back. */
  readonly result: string;
}

/** Watches a running process, its threads, and every process that it starts from now on. */
export interface Strace {
  /** Lets go of the process. @returns what was seen, by its beginning */
  stop(): Promise<readonly Call[]>;
}

/**
 * @param calls - names of system calls, as strace takes them
 * @throws Error with strace's own words when it may not attach
 */
export async function strace(pid: number, calls: readonly string[]): Promise<Strace> {
  const folder = mkdtempSync(join(tmpdir(), 'strace-'));
  const out = join(folder, 'out');
  const args = ['-f', '-yy', '-s', '16', '-e', `trace=${calls.join(',')}`, '-o', out];
  const child = spawn('strace', [...args, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = once(child, 'close');
  const [said] = await once(child.stderr, 'data');
  if (!String(said).includes('attached')) {
    child.kill();
    rmSync(folder, { recursive: true });
    throw new Error(String(said));
  }
  child.stderr.resume();
  return {
    stop: async () => {
      child.kill('SIGINT');
      await closed;
      const calls = readCalls(readFileSync(out, 'latin1'));
      rmSync(folder, { recursive: true });
      return calls;
    },
  };
}

/** What is to happen at a system call of a process, and to which of its threads; `family`: to all processes that it starts too. */
export interface Injection {
  readonly call: string;
  /** `signal=SIGKILL:when=3`, `delay_exit=20000`; each thread counts for itself. @see strace(1), Tampering */
  readonly what: string;
  /** The first thread runs the loop and the database, the others Node's file operations. Processes that it starts are left alone. */
  readonly threads: 'loop' | 'others' | 'all' | 'family';
}

export interface Tampering {
  /** The process has ended, or `stop` was called. */
  readonly ended: Promise<unknown>;
  stop(): Promise<void>;
}

/** Tampers with a running process until it ends or `stop` is called. @throws Error when strace may not attach */
export async function inject(pid: number, { call, what, threads }: Injection): Promise<Tampering> {
  const family = threads === 'family';
  const tids = readdirSync(`/proc/${pid}/task`).filter((tid) => {
    if (threads === 'all') return true;
    return (threads === 'loop' || family) === (tid === String(pid));
  });
  const follow = family ? ['-f'] : [];
  const args = [
    ...follow,
    '-e',
    `trace=${call}`,
    '-e',
    `inject=${call}:${what}`,
    '-o',
    '/dev/null',
  ];
  const child = spawn('strace', [...args, ...tids.flatMap((tid) => ['-p', tid])], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const closed = once(child, 'close');
  let said = '';
  while (said.split('attached').length <= tids.length) {
    const [more] = await Promise.race([once(child.stderr, 'data'), closed]);
    if (child.exitCode !== null) throw new Error(`strace ended with ${child.exitCode}\n${said}`);
    said += more;
  }
  child.stderr.resume();
  return {
    ended: closed,
    stop: async () => {
      child.kill('SIGINT');
      await closed;
    },
  };
}

/** Whether this machine lets us watch a process that we did not start under strace. */
export function mayTrace(): boolean {
  if (process.getuid?.() === 0) return true;
  try {
    return readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8').trim() === '0';
  } catch {
    return true;
  }
}

/** Reads strace's output, in which a call that others interrupt stands on two lines. */
function readCalls(text: string): Call[] {
  const calls: (Call | undefined)[] = [];
  const begun = new Map<string, { name: string; args: string; began: number }>();
  for (const [at, line] of text.split('\n').entries()) {
    const [, tid = '', rest = ''] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const whole = /^(\w+)\((.*)\) += (.*)$/.exec(rest);
    const first = /^(\w+)\((.*) <unfinished \.\.\.>$/.exec(rest);
    const second = /^<\.\.\. (\w+) resumed>(.*)\) += (.*)$/.exec(rest);
    if (second !== null) {
      const [, name = '', args = '', result = ''] = second;
      const half = begun.get(tid);
      begun.delete(tid);
      if (half?.name !== name) continue;
      calls[half.began] = call(tid, { ...half, args: half.args + args, ended: at, result });
    } else if (whole !== null) {
      const [, name = '', args = '', result = ''] = whole;
      calls[at] = call(tid, { name, args, began: at, ended: at, result });
    } else if (first !== null) {
      const [, name = '', args = ''] = first;
      begun.set(tid, { name, args, began: at });
      const ended = Number.POSITIVE_INFINITY;
      calls[at] = call(tid, { name, args, began: at, ended, result: '' });
    }
  }
  return calls.filter((each) => each !== undefined);
}

function call(tid: string, rest: Omit<Call, 'tid'>): Call {
  return { tid: Number(tid), ...rest };
}
