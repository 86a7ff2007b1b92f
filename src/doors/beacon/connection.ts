import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { HelloDesk } from '../../core/neighbors/desk.ts';
import { Packets } from '../../core/neighbors/packets.ts';
import type { Log } from '../../log.ts';
import { UserError } from '../../model/errors.ts';
import { readGitRequest } from '../../model/git-request.ts';
import { isQuestion, longestQuestion } from '../../model/hello.ts';
import { longestPayload, pkt } from '../../model/pktline.ts';
import { errorText } from '../../shell/print.ts';
import type { Run } from '../../shell/request.ts';
import { send } from '../../shell/send.ts';

/** What all connections of the beacon share. */
export interface BeaconHouse {
  readonly run: Run;
  readonly log: Log;
  limits(): { readonly loginGraceMs: number; readonly idleMs: number };
  /** Somebody who answers the questions of other servers, for one connection. @param address - who asks */
  desk(address: string): HelloDesk;
  /** As with `Stdio.acknowledge`. */
  acknowledge(socket: Socket): void;
  /** Where pushes go instead. */
  publicUrl(): string;
}

/** How long a caller may take to read a last word, and a request to end once it is told to. */
const lastWordMs = 2000;
const patienceMs = 500;
/** Questions that a server has in one conversation, and a generous rest. */
const mostQuestions = 8;

/** One connection of a stranger: by the first packet a git client's, or another server's. */
export class BeaconConnection {
  readonly id = randomUUID();
  readonly requestId = randomUUID();
  readonly startedAt = new Date().toISOString();
  readonly address: string;
  readonly #socket: Socket;
  readonly #house: BeaconHouse;
  readonly #abort = new AbortController();
  #running: Promise<unknown> | undefined;

  constructor(socket: Socket, address: string, house: BeaconHouse) {
    this.#socket = socket;
    this.address = address;
    this.#house = house;
    socket.once('close', () => this.#abort.abort(new Error('the client is gone')));
    socket.setNoDelay(true);
  }

  /** Whether a git program runs for it. */
  get busy(): boolean {
    return this.#running !== undefined;
  }

  /** Hears what the caller wants, and does it. Never rejects. */
  async serve(): Promise<void> {
    const { log, limits } = this.#house;
    const { loginGraceMs, idleMs } = limits();
    const socket = this.#socket;
    const late = setTimeout(() => {
      void this.#refuse(
        new UserError('unavailable', `nothing was asked in ${loginGraceMs / 1000} s`),
      );
    }, loginGraceMs);
    socket.setTimeout(idleMs, () => socket.destroy());
    const packets = new Packets(socket);
    try {
      const first = await packets.next(longestQuestion);
      clearTimeout(late);
      if (first === undefined) return;
      if (first.kind !== 'data') throw new UserError('usage', 'that is no request of git');
      if (isQuestion(first.payload)) await this.#converse(packets, first.payload);
      else await this.#git(packets, first.payload);
    } catch (error) {
      if (error instanceof UserError) await this.#refuse(error);
      else if (!socket.destroyed) log.warn({ err: error }, 'a connection failed at the beacon');
    } finally {
      clearTimeout(late);
      await packets.release().catch(() => undefined);
      await this.#leave();
    }
  }

  /** Ends it, telling why, within a second. */
  async end(why: UserError): Promise<void> {
    if (this.#running === undefined) return this.#refuse(why);
    this.#abort.abort(why);
    await Promise.race([this.#running, wait(patienceMs, undefined, { ref: false })]);
    await this.#leave();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  async #git(packets: Packets, payload: Buffer): Promise<void> {
    const socket = this.#socket;
    const { words, protocol } = readGitRequest(payload);
    const [program] = words;
    const rest = await packets.release();
    if (rest.length > 0) socket.unshift(rest);
    const unreadable = refusalOf(program, this.#house.publicUrl());
    this.#running = this.#house.run({
      id: this.requestId,
      door: 'git',
      principal: { kind: 'anonymous' },
      address: this.address,
      connection: this.id,
      words,
      ...(unreadable && { unreadable }),
      gitProtocol: protocol,
      // As with git's own daemon: what git says on stderr has no way to the client.
      stdio: {
        ...{ stdin: socket, stdout: socket, stderr: nowhere() },
        acknowledge: () => this.#house.acknowledge(socket),
      },
      signal: this.#abort.signal,
      terminal: undefined,
      directory: undefined,
    });
    await this.#running;
  }

  async #converse(packets: Packets, first: Buffer): Promise<void> {
    const desk = this.#house.desk(this.address);
    let question = first;
    for (let count = 1; ; count += 1) {
      const answers = await desk.answer(question);
      await send(this.#socket, Buffer.concat(answers.map(pkt)));
      if (count === mostQuestions) return;
      const next = await packets.next(longestQuestion);
      if (next?.kind !== 'data') return;
      question = next.payload;
    }
  }

  async #refuse(why: UserError): Promise<void> {
    if (this.#socket.writable) {
      await send(
        this.#socket,
        pkt(Buffer.from(`ERR ${errorText(why)}`).subarray(0, longestPayload)),
      );
    }
    await this.#leave();
  }

  /** Ends softly: unread bytes would turn the end into a reset, and the last word be lost. */
  async #leave(): Promise<void> {
    const socket = this.#socket;
    if (socket.destroyed) return;
    socket.end();
    socket.resume();
    const signal = AbortSignal.timeout(lastWordMs);
    await finished(socket, { signal }).catch(() => undefined);
    socket.destroy();
  }
}

/** What is refused whatever repository it is about, so that the refusal says nothing of any. */
function refusalOf(program: string, url: string): UserError | undefined {
  if (program === 'git-upload-pack' || program === 'git-upload-archive') return undefined;
  return new UserError('denied', `git:// is for reading: ${program} is not offered here`, {
    hint: `sign in to push: ${url}/…`,
  });
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() });
}
