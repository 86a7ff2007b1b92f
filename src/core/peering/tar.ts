import { UserError } from '../../model/errors.ts';
import { keepUnread, send } from '../../programs/run.ts';
import { startSsh } from '../../programs/ssh.ts';
import { Throttle } from '../../programs/throttle.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { describeBundle, expectBundle, type Part, readBundle, receiveBundle } from './bundle.ts';
import { type Answers, type Questions, syncProgram, type TarWords } from './protocol.ts';
import type { Remote } from './remote.ts';

export type TarQuestion =
  | (Questions['put-tar'] & { readonly verb: 'put-tar' })
  | (Questions['get-tar'] & { readonly verb: 'get-tar' });

/** Answers what another server asks before an archive passes. @throws UserError for a session that is not its own */
export async function tarAnswer(
  { syncSessions }: Pick<Core, 'syncSessions'>,
  server: Server,
  asked: TarQuestion,
): Promise<Answers['put-tar'] | Answers['get-tar']> {
  if (asked.verb === 'get-tar') {
    const { directory } = syncSessions.find(asked.token, server.id, 'out');
    const { id, bytes } = await describeBundle(directory);
    return { id, bytes };
  }
  const { directory, limitBytes } = syncSessions.find(asked.token, server.id, 'in');
  const announced = { id: String(asked.id), bytes: Number(asked.bytes) };
  const { offset } = await expectBundle(directory, announced, limitBytes);
  return { offset };
}

/** What carrying by tar needs to know. */
export interface TarJob {
  readonly directory: string;
  readonly token: string;
  readonly direction: 'push' | 'pull';
  /** Bytes that may come. */
  readonly limitBytes: number;
  /** Infinity without a bound. */
  readonly bytesPerSecond: number;
  readonly signal: AbortSignal;
  /** Hears how many bytes of the archive are there. */
  onProgress(bytes: number): void;
}

/**
 * Carries the files of a session as one archive; one that broke off goes on where it ended.
 *
 * @throws UserError of the other side or of what arrived; Error with the other side's words when it broke off
 */
export async function runTar(remote: Remote, job: TarJob) {
  return job.direction === 'push' ? pushTar(remote, job) : pullTar(remote, job);
}

async function pushTar(remote: Remote, job: TarJob) {
  const { directory, token, signal } = job;
  const bundle = await describeBundle(directory);
  const { id, bytes } = bundle;
  const { offset } = await remote.ask('put-tar', { token, id, bytes });
  if (!Number.isInteger(offset) || offset < 0 || offset > bytes) {
    throw new UserError('unavailable', `${remote.server.name}: it has more than there is`);
  }
  const { child, program, over } = begin(remote, ['put-tar', token, String(offset)], signal);
  child.stdout.resume();
  const throttle = new Throttle(job.bytesPerSecond);
  let there = offset;
  try {
    for await (const chunk of readBundle(directory, bundle, offset)) {
      await throttle.pass(chunk.length, signal);
      if (!(await send(child, chunk))) break;
      there += chunk.length;
      job.onProgress(there);
    }
  } finally {
    child.stdin.end();
  }
  await over();
  return { sent: there - offset, received: 0, program };
}

async function pullTar(remote: Remote, job: TarJob) {
  const { directory, token, limitBytes, signal } = job;
  const announced = await remote.ask('get-tar', { token });
  const part: Part = await expectBundle(directory, announced, limitBytes);
  const words = ['get-tar', token, String(part.offset)] as const;
  const { child, program, over } = begin(remote, words, signal);
  // The file that it goes to is opened first.
  keepUnread(child.stdout);
  child.stdin.end();
  const throttle = new Throttle(job.bytesPerSecond);
  try {
    await receiveBundle(directory, part, child.stdout, async (there, chunk) => {
      job.onProgress(there);
      await throttle.pass(chunk, signal);
    });
  } catch (cause) {
    child.end();
    await over().catch((broken: Error) => {
      if (cause instanceof UserError && cause.code === 'unavailable') throw broken;
    });
    throw cause;
  }
  await over();
  return { sent: 0, received: part.bytes - part.offset, program };
}

function begin({ target }: Remote, words: TarWords, signal: AbortSignal) {
  const program = [syncProgram, ...words].join(' ');
  const child = startSsh(target, program);
  let said = '';
  child.stderr.on('data', (chunk) => {
    said = `${said}${chunk}`.slice(-4096);
  });
  const onAbort = () => child.end();
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const over = async () => {
    const { status } = await child.exited;
    signal.removeEventListener('abort', onAbort);
    signal.throwIfAborted();
    if (status !== 0) throw new Error(`${words[0]} ended with ${status}: ${said.trim()}`);
  };
  return { child, program, over };
}
