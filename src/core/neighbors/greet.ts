import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { UserError } from '../../model/errors.ts';
import {
  type Hello,
  isSignedAnswer,
  longestAnswer,
  type Message,
  message,
  nonceBytes,
  protocol,
  readHello,
  readMessage,
  signedQuestion,
} from '../../model/hello.ts';
import { pkt } from '../../model/pktline.ts';
import { escapeControls } from '../../model/repo.ts';
import type { Signer } from '../../model/signer.ts';
import { Packets } from './packets.ts';

/** Where somebody is called, and for how long an answer is waited. */
export interface Call {
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** A connection that stands, until `timeoutMs` from its last word. */
export interface Line {
  readonly socket: Socket;
  /** How long it took to stand. */
  readonly latencyMs: number;
}

/** @throws Error with the system's code; `ETIMEDOUT` after `timeoutMs` */
export async function dial({ host, port, timeoutMs, signal }: Call): Promise<Line> {
  signal.throwIfAborted();
  const begun = performance.now();
  const socket = connect({ host, port });
  socket.on('error', () => undefined);
  const hangUp = () => socket.destroy(new Error('interrupted'));
  signal.addEventListener('abort', hangUp, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', hangUp));
  const giveUp = () => {
    if (!socket.connecting) return;
    socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' }));
  };
  // An answer that waits to be read while this process was busy is an answer.
  const late = setTimeout(() => setImmediate(giveUp), timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve).once('error', reject);
    });
  } finally {
    clearTimeout(late);
  }
  return { socket, latencyMs: Math.round(performance.now() - begun) };
}

/** Cuts a line when an answer takes too long, however much trickles in. */
export async function within<T>(ms: number, socket: Socket, work: Promise<T>): Promise<T> {
  const late = setTimeout(() => socket.destroy(), ms);
  try {
    return await work;
  } finally {
    clearTimeout(late);
  }
}

/** Somebody answered who is no server of this kind. */
export class NoHello extends Error {
  /** What the first packet was, or `end` where none came; undefined for what is no packet. */
  readonly said: string | undefined;

  constructor(said: string | undefined) {
    super('that is no cpm server');
    this.said = said;
  }

  /** Where it is one that speaks none of our protocols: those that it does, in words. */
  get protocols(): string | undefined {
    const read = readMessage(Buffer.from(this.said ?? ''));
    const protocols: unknown = read?.word === 'cpm-error' ? read.fields['protocols'] : undefined;
    if (!Array.isArray(protocols) || protocols.length === 0) return undefined;
    if (!protocols.every((each) => Number.isSafeInteger(each))) return undefined;
    return protocols.includes(protocol) ? undefined : protocols.slice(0, 10).join(', ');
  }
}

/** A talk with another server that has proven its key. */
export class Conversation {
  readonly hello: Hello;
  readonly latencyMs: number;
  /** This side's nonce. */
  readonly #nonce: string;
  readonly #line: Line;
  readonly #packets: Packets;
  readonly #timeoutMs: number;

  private constructor(
    line: Line,
    packets: Packets,
    { hello, nonce, timeoutMs }: { hello: Hello; nonce: string; timeoutMs: number },
  ) {
    this.#line = line;
    this.#packets = packets;
    this.hello = hello;
    this.latencyMs = line.latencyMs;
    this.#nonce = nonce;
    this.#timeoutMs = timeoutMs;
  }

  /** Says hello on a line, and checks the answer. @throws NoHello; Error when the line breaks */
  static async begin(line: Line, timeoutMs: number): Promise<Conversation> {
    const { socket } = line;
    const nonce = randomBytes(nonceBytes).toString('hex');
    const packets = new Packets(socket);
    const asked = message('cpm-hello', { protocol, oldest: protocol, nonce });
    socket.write(pkt(asked));
    const hello = await within(timeoutMs, socket, readAnswer(packets, nonce));
    return new Conversation(line, packets, { hello, nonce, timeoutMs });
  }

  /** @returns the fields of the answer. @throws UserError as the other side has it, or `unavailable` */
  async ask(word: string, fields: Readonly<Record<string, unknown>>) {
    const { socket } = this.#line;
    socket.write(pkt(message(word, fields)));
    const next = this.#next().catch((cause: unknown) => {
      throw cause instanceof UserError ? cause : gone(cause);
    });
    const answer = await within(this.#timeoutMs, socket, next);
    if (answer.word === word) return answer.fields;
    const said = answer.fields['message'];
    const text = typeof said === 'string' ? escapeControls(said).slice(0, 200) : 'an odd answer';
    throw new UserError('denied', `the neighbor refused: ${text}`);
  }

  /** The names of its public repositories, which it tells whom it has confirmed. */
  async names(signer: Signer): Promise<readonly string[]> {
    const { nonce, key } = this.hello;
    const signature = signedQuestion(signer, nonce, key);
    const own = signer.publicKey.blob.toString('base64');
    const { socket } = this.#line;
    socket.write(pkt(message('cpm-names', { key: own, signature })));
    const read = async () => {
      const answer = await this.#next();
      if (answer.word !== 'cpm-names') return [];
      const { fields } = await this.#next();
      const about = { key, nonce: this.#nonce, text: answer.text, signature: fields['signature'] };
      const { names } = answer.fields;
      if (!isSignedAnswer('names', about) || !Array.isArray(names)) return [];
      return names.filter((each): each is string => typeof each === 'string');
    };
    return within(this.#timeoutMs, socket, read());
  }

  close(): void {
    this.#line.socket.destroy();
  }

  async #next(): Promise<Message> {
    const packet = await this.#packets.next(longestAnswer);
    const read = packet?.kind === 'data' ? readMessage(packet.payload) : undefined;
    if (read === undefined) throw gone(undefined);
    return read;
  }
}

async function readAnswer(packets: Packets, nonce: string): Promise<Hello> {
  const first = await packets.next(longestAnswer).catch((error: unknown) => {
    if (error instanceof UserError) throw new NoHello(undefined);
    throw error;
  });
  if (first === undefined) throw new NoHello('end');
  if (first.kind !== 'data') throw new NoHello(first.kind);
  const answer = readMessage(first.payload);
  const hello = answer && readHello(answer);
  if (answer === undefined || hello === undefined) throw new NoHello(String(first.payload));
  const second = await packets.next(longestAnswer);
  const signed = second?.kind === 'data' ? readMessage(second.payload) : undefined;
  const signature = signed?.fields['signature'];
  if (isSignedAnswer('hello', { key: hello.key, nonce, text: answer.text, signature }))
    return hello;
  throw new NoHello('forged');
}

function gone(cause: unknown): UserError {
  return new UserError('unavailable', 'the neighbor went away', { cause });
}

/** Calls a server and says hello. @throws UserError `unavailable` where nobody answers as a cpm server does */
export async function call(where: Call): Promise<Conversation> {
  const line = await dial(where).catch((cause: NodeJS.ErrnoException) => {
    const why = cause.code ?? cause.message;
    throw new UserError('unavailable', `${where.host}:${where.port} can't be reached: ${why}`, {
      cause,
    });
  });
  try {
    return await Conversation.begin(line, where.timeoutMs);
  } catch (cause) {
    line.socket.destroy();
    const place = `${where.host}:${where.port}`;
    const protocols = cause instanceof NoHello ? cause.protocols : undefined;
    if (protocols === undefined) {
      throw new UserError('unavailable', `${place} answers, and is no cpm server`, { cause });
    }
    throw new UserError(
      'unavailable',
      `${place} speaks protocol ${protocols} of neighbors, and this server ${protocol}`,
      { hint: 'update the older one of the two', cause },
    );
  }
}
