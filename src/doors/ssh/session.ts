import { randomUUID } from 'node:crypto';
import { UserError } from '../../model/errors.ts';
import type { WireReader } from '../../model/sshwire.ts';
import { splitWords } from '../../model/words.ts';
import type { Request, Terminal } from '../../shell/request.ts';
import type { Channel } from './channel.ts';
import { within } from './patience.ts';
import { refusalText } from './refusal.ts';

/** What a session needs of its connection. */
export interface SessionPort {
  /** Why nothing may be asked now; undefined when all is well. */
  refusal(): UserError | undefined;
  /** Carries out what was asked, as the one who signed in. Never rejects. */
  run(
    asked: Omit<Request, 'door' | 'principal' | 'address' | 'directory' | 'connection'>,
  ): Promise<number>;
  defect(cause: unknown): void;
  /** The session's one request has ended, or it will never have one. */
  settled(): void;
  /** The session's request may be silent from now on, or has ended. */
  silence(difference: 1 | -1): void;
  /** The client asked for the one thing it came for, in vain, and may never notice. */
  pointless(why: UserError): void;
}

const longestProtocolBytes = 256;
const patienceMs = 500;
const signalStatuses: Readonly<Record<string, number>> = {
  HUP: 129,
  INT: 130,
  QUIT: 131,
  KILL: 137,
  TERM: 143,
};

/** A session channel: what comes before its one request, the request, and its end. */
export class Session {
  readonly channel: Channel;
  /** The id of the one request. */
  readonly requestId = randomUUID();
  readonly #port: SessionPort;
  readonly #abort = new AbortController();
  #gitProtocol: string | undefined;
  #terminal: { columns: number; colour: boolean } | undefined;
  #running: Promise<void> | undefined;
  #interrupted: number | undefined;
  #silent = false;
  #ended: { readonly why: UserError; readonly errorBytes: number } | undefined;

  constructor(channel: Channel, port: SessionPort) {
    this.channel = channel;
    this.#port = port;
  }

  /** Whether its request was made, whatever became of it. */
  get started(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Takes a channel request.
   *
   * @param begin - answers the client, where it wants an answer, before the first output
   * @returns false when it is refused
   */
  request(type: string, fields: WireReader, begin: () => void): boolean {
    switch (type) {
      case 'exec': {
        const line = fields.string();
        return this.#start(begin, () => this.#carryOutLine(line));
      }
      case 'shell':
        return this.#start(begin, () => this.#carryOut([]));
      case 'subsystem':
        return this.#refuseSubsystem(fields.string().toString(), begin);
      case 'env':
        return this.#takeEnvironment(fields, begin);
      case 'pty-req':
        return this.#takeTerminal(fields, begin);
      case 'window-change':
        if (this.#terminal !== undefined) this.#terminal.columns = columnsOf(fields.uint32());
        begin();
        return true;
      case 'signal':
        return this.#takeSignal(fields.text(), begin);
      default:
        return false;
    }
  }

  /**
   * Ends the request because its client may no longer be here. A request that doesn't end by itself is left behind.
   *
   * @returns when the client was told
   */
  async end(why: UserError): Promise<void> {
    if (this.#running === undefined) {
      this.#start(
        () => undefined,
        () => {
          throw why;
        },
      );
      return this.#running;
    }
    this.#ended ??= { why, errorBytes: this.channel.errorBytes };
    this.#abort.abort(why);
    await within(patienceMs, this.#running);
    if (this.channel.open) await this.channel.finish(this.#lastWord(why.status));
  }

  /** The client is gone, and with it whoever could read an answer. */
  drop(): void {
    this.channel.drop();
    this.#abort.abort(new Error('the client is gone'));
    if (this.#running === undefined) this.#port.settled();
  }

  #refuseSubsystem(name: string, begin: () => void): boolean {
    const why = noSubsystem(name);
    const started = this.#start(begin, () => this.#refuse(`subsystem ${name}`, why));
    if (started) this.#port.pointless(why);
    return started;
  }

  #start(begin: () => void, work: () => Promise<number>): boolean {
    if (this.#running !== undefined) return false;
    begin();
    this.#running = this.#execute(work);
    return true;
  }

  async #execute(work: () => Promise<number>): Promise<void> {
    const status = await this.#outcome(work);
    if (this.#silent) this.#port.silence(-1);
    await this.channel.finish(this.#interrupted ?? this.#lastWord(status));
    this.#port.settled();
  }

  /** Says why a request was ended where it didn't say so itself. @returns the status that the client gets */
  #lastWord(status: number): number {
    const ended = this.#ended;
    if (ended === undefined || status === 0) return status;
    if (this.channel.errorBytes > ended.errorBytes) return status;
    this.#tell(ended.why);
    return ended.why.status;
  }

  async #outcome(work: () => Promise<number>): Promise<number> {
    try {
      const refusal = this.#port.refusal();
      if (refusal !== undefined) throw refusal;
      return await work();
    } catch (error) {
      if (!(error instanceof UserError)) this.#port.defect(error);
      const shown =
        error instanceof UserError ? error : new UserError('internal', 'a fault of cpm');
      this.#tell(shown);
      return shown.status;
    }
  }

  #carryOutLine(line: Buffer): Promise<number> {
    try {
      return this.#carryOut(splitWords(decode(line)));
    } catch (error) {
      if (error instanceof UserError) return this.#refuse(line.toString(), error);
      throw error;
    }
  }

  /** What can't be carried out is on record all the same. */
  #refuse(asked: string, unreadable: UserError): Promise<number> {
    return this.#carryOut([asked], { unreadable });
  }

  #carryOut(words: readonly string[], more: { unreadable?: UserError } = {}): Promise<number> {
    return this.#port.run({
      id: this.requestId,
      words,
      ...more,
      gitProtocol: this.#gitProtocol,
      stdio: this.channel,
      signal: this.#abort.signal,
      staySilent: () => {
        if (!this.#silent) this.#port.silence(1);
        this.#silent = true;
      },
      terminal: this.#terminal satisfies Terminal | undefined,
    });
  }

  #tell(why: UserError): void {
    if (this.channel.stderr.writable) this.channel.stderr.write(refusalText(why));
  }

  #takeEnvironment(fields: WireReader, begin: () => void): boolean {
    const name = fields.text();
    const value = fields.string();
    const taken =
      name === 'GIT_PROTOCOL' &&
      value.length <= longestProtocolBytes &&
      this.#running === undefined;
    if (!taken) return false;
    this.#gitProtocol = value.toString('latin1');
    begin();
    return true;
  }

  #takeTerminal(fields: WireReader, begin: () => void): boolean {
    if (this.#running !== undefined || this.#terminal !== undefined) return false;
    const kind = fields.text();
    const columns = columnsOf(fields.uint32());
    this.#terminal = { columns, colour: kind !== '' && kind !== 'dumb' };
    this.channel.becomeTerminal(() => this.#interrupt(signalStatuses['INT'] ?? 130));
    begin();
    return true;
  }

  #takeSignal(name: string, begin: () => void): boolean {
    const status = signalStatuses[name];
    if (status === undefined || this.#running === undefined) return false;
    begin();
    this.#interrupt(status);
    return true;
  }

  #interrupt(status: number): void {
    if (this.#abort.signal.aborted) return;
    this.#interrupted = status;
    this.#abort.abort(new Error('the client sent a signal'));
  }
}

function columnsOf(told: number): number {
  // 0 means that the client doesn't know.
  return told === 0 ? 80 : Math.min(told, 1000);
}

/** @throws UserError `usage` for what is no UTF-8 */
export function decode(line: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  } catch (error) {
    throw new UserError('usage', 'the command is not valid UTF-8', { cause: error });
  }
}

/** Why a subsystem is not there. */
export function noSubsystem(name: string): UserError {
  if (name !== 'sftp') return new UserError('usage', 'subsystems are not offered here');
  return new UserError('usage', 'sftp and scp are not offered here', {
    hint: 'files travel with git clone, git push and git archive',
  });
}
