import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import { errorText } from '../../shell/print.ts';
import type { Request, Run } from '../../shell/request.ts';
import { send } from '../../shell/send.ts';
import { GuestClock } from '../forced/guest-clock.ts';
import type { Guest, Guests } from '../forced/guests.ts';
import { type Frame, frame, type Kind, type LocalRequest, readFrames } from './frames.ts';
import { Heir } from './heir.ts';

/** What a connection needs of its door. */
export interface Host {
  readonly run: Run;
  readonly guests: Guests;
  /** Makes room for a server that wants to start. @returns whether this process does that */
  makeRoom(): boolean;
  /** Leaves everything to another process; absent where that is never done. @returns when nothing more is to be said */
  takeOver?(heir: Heir): Promise<void>;
}

type Asked = Pick<
  Request,
  'door' | 'principal' | 'address' | 'words' | 'gitProtocol' | 'terminal' | 'directory'
> & { readonly unreadable?: UserError };

/** How long a request has to end by itself, once it is told to. */
const patienceMs = 500;
/** When the connection of one that reads nothing is cut. */
const longestEndMs = 900;

/** One connection and its one request. */
export class Connection {
  readonly id = randomUUID();
  readonly requestId = randomUUID();
  readonly startedAt = new Date().toISOString();
  readonly #socket: Socket;
  readonly #abort = new AbortController();
  #asked: Pick<Asked, 'door' | 'principal' | 'address'> = {
    door: 'local',
    principal: { kind: 'operator' },
    address: undefined,
  };
  #answered: Promise<void> | undefined;
  #clock: GuestClock | undefined;
  /** Whether it is a process that takes this one's place, and outlasts its doors. */
  isHeir = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.once('close', () => this.#abort.abort());
  }

  get door(): Request['door'] {
    return this.#asked.door;
  }

  get principal(): Principal {
    return this.#asked.principal;
  }

  get address(): string | undefined {
    return this.#asked.address;
  }

  async serve(host: Host): Promise<void> {
    const frames = readFrames(this.#socket);
    const first = await frames.next();
    if (first.done) return;
    const { kind, payload } = first.value;
    if (kind === 'request')
      await this.#converse(frames, (stdin) => this.#local(host, payload, stdin));
    else if (kind === 'forced') {
      await this.#converse(frames, (stdin) => this.#forced(host, payload, stdin));
    } else if (kind === 'yield') await this.#finish(host.makeRoom() ? 0 : 1);
    else if (kind === 'takeover') await this.#takeOver(host, Number(String(payload)), frames);
  }

  async #takeOver(host: Host, pid: number, frames: AsyncGenerator<Frame>): Promise<void> {
    if (host.takeOver === undefined) return this.#finish(1);
    this.isHeir = true;
    await host.takeOver(new Heir(pid, this.#socket, frames));
  }

  async #converse(
    frames: AsyncGenerator<Frame>,
    answer: (stdin: PassThrough) => Promise<number>,
  ): Promise<void> {
    const stdin = new PassThrough();
    const fed = this.#feed(frames, stdin);
    this.#answered = answer(stdin)
      .catch((error) => this.#refuse(error))
      .then((status) => this.#finish(status))
      .finally(() => this.#clock?.stop());
    await this.#answered;
    stdin.destroy();
    await fed;
  }

  async #local({ run }: Host, payload: Buffer, stdin: PassThrough): Promise<number> {
    const { words, directory, terminal } = JSON.parse(String(payload)) as LocalRequest;
    const asked = { ...this.#asked, words, directory, terminal, gitProtocol: undefined };
    return this.#answer(run, asked, stdin);
  }

  /** What sshd sends in: its own question, or somebody's request. */
  async #forced({ run, guests }: Host, payload: Buffer, stdin: PassThrough): Promise<number> {
    const guest = await guests.receive(payload);
    if ('answer' in guest) {
      await send(this.#socket, frame('stdout', guest.answer));
      return 0;
    }
    if (guest.refusal !== undefined) throw guest.refusal;
    this.#asked = guest.asked;
    this.#clock = this.#startClock(guest);
    const leave = guests.enter(guest.owner.user);
    try {
      return await this.#answer(run, guest.asked, stdin);
    } finally {
      leave();
    }
  }

  #startClock({ idleMs, owner }: Exclude<Guest, { answer: string }>): GuestClock {
    return new GuestClock({ idleMs, ...owner }, (why) => void this.end(why));
  }

  async #answer(run: Run, asked: Asked, stdin: PassThrough): Promise<number> {
    const stdio = { stdin, stdout: this.#outlet('stdout'), stderr: this.#outlet('stderr') };
    try {
      return await run({
        id: this.requestId,
        connection: this.id,
        ...asked,
        stdio,
        signal: this.#abort.signal,
        staySilent: () => this.#clock?.staySilent(),
      });
    } finally {
      // Whoever reads slowly has not all of it yet, and the exit status is the last that they read.
      await Promise.all([allSent(stdio.stdout), allSent(stdio.stderr)]);
    }
  }

  /** What was never asked, and so is answered by nobody else. @returns the status */
  async #refuse(error: unknown): Promise<number> {
    const known =
      error instanceof UserError
        ? error
        : new UserError('internal', 'a fault of cpm', { cause: error });
    await send(this.#socket, frame('stderr', `${errorText(known)}\n`));
    return known.status;
  }

  async #finish(status: number): Promise<void> {
    if (this.#socket.writableEnded) return;
    await send(this.#socket, frame('exit', String(status)));
    this.#socket.end();
  }

  /** Tells the request to end; one that doesn't is left behind. */
  async end(why: UserError): Promise<void> {
    const cut = setTimeout(() => this.#socket.destroy(), longestEndMs);
    this.#socket.once('close', () => clearTimeout(cut));
    this.#abort.abort(why);
    await Promise.race([this.#answered, wait(patienceMs, undefined, { ref: false })]);
    if (this.#socket.writableEnded) return;
    await send(this.#socket, frame('stderr', `${errorText(why)}\n`));
    await this.#finish(why.status);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Passes standard input on; where the client goes away, its request ends. */
  async #feed(frames: AsyncGenerator<Frame>, stdin: PassThrough): Promise<void> {
    try {
      for await (const { kind, payload } of frames) {
        this.#clock?.passed();
        if (kind === 'interrupt') this.#abort.abort();
        else if (payload.length === 0) stdin.end();
        else await send(stdin, payload);
      }
    } catch {
      // The client went away in the middle of a frame.
    }
    stdin.end();
    this.#abort.abort();
  }

  #outlet(kind: Kind): Writable {
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        send(this.#socket, frame(kind, chunk)).then(() => {
          this.#clock?.passed();
          done();
        }, done);
      },
    });
  }
}

/** Ends a stream, and waits until all of it was passed on, or nobody takes it any more. */
async function allSent(stream: Writable): Promise<void> {
  await new Promise<void>((resolve) => {
    stream.end(() => resolve());
  });
}
