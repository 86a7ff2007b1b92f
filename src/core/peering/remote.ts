import { createInterface, type Interface } from 'node:readline';
import { type ErrorCode, statuses, UserError } from '../../model/errors.ts';
import { escapeControls } from '../../model/repo.ts';
import { type Program, send } from '../../programs/run.ts';
import { type SshTarget, startSsh } from '../../programs/ssh.ts';
import type { Actor } from '../../store/changes.ts';
import type { Server } from '../../store/servers.ts';
import type { Core } from '../core.ts';
import { type Claim, claimFor, heed } from './lead.ts';
import { type Answers, type Questions, syncProgram, type Verb } from './protocol.ts';
import { distrust, targetOf } from './trust.ts';

interface Reply {
  readonly ok?: unknown;
  /** The other side is still at work on the answer. */
  readonly busy?: boolean;
  /** That another leads in the place of who asked. @see Claim */
  readonly claim?: unknown;
  readonly error?: { readonly code: string; readonly message: string; readonly hint?: string };
}

interface Caller {
  readonly by: Actor;
  readonly signal: AbortSignal;
}

const answerMs = 120_000;

/** A conversation with another server: one connection, one question after the other. */
export class Remote {
  readonly server: Server;
  readonly target: SshTarget;
  /** Bytes of questions and answers so far. */
  sent = 0;
  received = 0;
  readonly #core: Core;
  readonly #child: Program;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #caller: Caller;
  #said = '';
  #isOver = false;

  private constructor(
    core: Core,
    { server, target, caller }: { server: Server; target: SshTarget; caller: Caller },
  ) {
    this.#core = core;
    this.server = server;
    this.target = target;
    this.#caller = caller;
    this.#child = startSsh(target, syncProgram);
    this.#reader = createInterface({ input: this.#child.stdout });
    this.#lines = this.#reader[Symbol.asyncIterator]();
    this.#child.stderr.on('data', (chunk) => {
      this.#said = `${this.#said}${chunk}`.slice(-4096);
    });
    const tie = core.couriers.tie(server.id);
    tie.addEventListener('abort', this.#end, { once: true });
    if (tie.aborted) this.#end();
    void this.#child.exited.then(() => {
      this.#isOver = true;
      tie.removeEventListener('abort', this.#end);
    });
    caller.signal.addEventListener('abort', this.#end, { once: true });
  }

  /** Whether the connection is gone. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /**
   * Does something over a connection that is open already, or over a new one, and keeps it for the next.
   *
   * @throws what `work` throws; UserError as `open` does
   */
  static async use<T>(
    core: Core,
    server: Server,
    { caller, work }: { caller: Caller; work: (remote: Remote) => Promise<T> },
  ): Promise<T> {
    const { id, url, role, hostKey, state, bandwidth } = server;
    const key = JSON.stringify([id, url, role, hostKey, bandwidth, core.config.sshKeyPath]);
    const idle = state === 'untrusted' ? undefined : core.couriers.conversations.take(key);
    const remote = idle instanceof Remote ? idle : await Remote.open(core, server, caller);
    remote.#hand(caller);
    try {
      const done = await work(remote);
      remote.#caller.signal.removeEventListener('abort', remote.#end);
      await core.couriers.conversations.keep(key, remote);
      return done;
    } catch (error) {
      await remote.close();
      throw error;
    }
  }

  #hand(caller: Caller): void {
    this.#caller.signal.removeEventListener('abort', this.#end);
    this.#caller = caller;
    caller.signal.addEventListener('abort', this.#end, { once: true });
  }

  /** @throws UserError when the server can't be reached or trusted, or does not take our key */
  static async open(core: Core, server: Server, caller: Caller): Promise<Remote> {
    const target = await targetOf(core, server, caller);
    caller.signal.throwIfAborted();
    return new Remote(core, { server, target, caller });
  }

  readonly #end = () => this.#child.end();

  /** @throws UserError as the other side has it; `unavailable` when the connection broke off */
  async ask<V extends Verb>(verb: V, question: Questions[V]): Promise<Answers[V]> {
    const claim: Claim | undefined = await claimFor(this.#core, this.server.id);
    const line = `${JSON.stringify({ verb, ...question, ...(claim && { claim }) })}\n`;
    this.sent += Buffer.byteLength(line);
    const late = setTimeout(this.#end, answerMs);
    try {
      await send(this.#child, line);
      const reply = await this.#reply(() => late.refresh());
      if (reply.claim !== undefined) await heed(this.#core, this.server.id, reply.claim);
      if (reply.error !== undefined) throw remoteError(this.server, reply.error);
      return reply.ok as Answers[V];
    } finally {
      clearTimeout(late);
    }
  }

  /** The next line that is no sign of life alone. @param alive - hears of each of those */
  async #reply(alive: () => void): Promise<Reply> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done === true) throw await this.#broken();
      this.received += Buffer.byteLength(value) + 1;
      const reply = readReply(value);
      if (reply.busy !== true) return reply;
      alive();
    }
  }

  /** What the ssh client said when the connection broke off, in words that a person can act on. */
  async #broken(): Promise<UserError> {
    await this.#child.exited;
    const { name } = this.server;
    const said = this.#said;
    if (/REMOTE HOST IDENTIFICATION HAS CHANGED|Host key verification failed/.test(said)) {
      return distrust(this.#core, this.server, this.#caller);
    }
    if (/Permission denied/.test(said)) {
      return new UserError('denied', `${name} does not know this server's key`, {
        hint: 'have it added there: servers add NAME --key -',
      });
    }
    const last = escapeControls(said.trim().split('\n').at(-1) ?? '');
    const why = last.replace(/^cpm: /, '') || 'the connection broke off';
    return new UserError('unavailable', `${name} can't be reached: ${why}`, {
      hint: `look where it fails: servers test ${name}`,
    });
  }

  /** Ends the conversation. */
  async close(): Promise<void> {
    this.#caller.signal.removeEventListener('abort', this.#end);
    this.#reader.close();
    this.#child.stdin.end();
    this.#child.stdout.resume();
    const late = setTimeout(this.#end, 5000);
    await this.#child.exited;
    clearTimeout(late);
  }
}

/** @throws UserError `unavailable` for what is no answer */
export function readReply(line: string): Reply {
  try {
    return JSON.parse(line) as Reply;
  } catch (cause) {
    throw new UserError('unavailable', 'the other side does not speak the protocol of cpm', {
      cause,
    });
  }
}

/** What the other side refused, as an error of ours that names it. */
export function remoteError(
  { name }: { readonly name: string },
  error: NonNullable<Reply['error']>,
): UserError {
  const code = (Object.hasOwn(statuses, error.code) ? error.code : 'internal') as ErrorCode;
  const message = `${name}: ${escapeControls(String(error.message)).slice(0, 1000)}`;
  const { hint } = error;
  return new UserError(
    code,
    message,
    typeof hint === 'string' ? { hint: escapeControls(hint).slice(0, 1000) } : {},
  );
}
