import { UserError } from '../../model/errors.ts';
import { WireFault, WireReader } from '../../model/sshwire.ts';
import { Channel, firstWindowBytes, largestPacketBytes } from './channel.ts';
import { messages, type OpenFailure } from './messages.ts';
import { within } from './patience.ts';
import { Session, type SessionPort } from './session.ts';
import type { Transport } from './ssh2-internals.ts';

/** What the channels need of their connection. */
export interface ChannelsPort
  extends Pick<SessionPort, 'refusal' | 'run' | 'defect' | 'pointless' | 'silence'> {
  readonly transport: Transport;
  /** Channels at once that may be used. */
  readonly limit: number;
  /** Whether the socket takes more. */
  canSend(): boolean;
  /** Something passed that shows that somebody is at work. */
  active(): void;
  /** A request has ended. */
  settled(): void;
}

/** Channels over the limit are opened all the same, to say so; more than these are not. */
const spareChannels = 10;
/** How long the end of one request may take. */
const longestEndMs = 900;

/** All channels of one connection: the connection protocol of RFC 4254, from the server's side. */
export class Channels {
  readonly #port: ChannelsPort;
  readonly #open = new Map<number, Session>();
  /** Sessions whose request has not ended, whether or not their channel is still open. */
  readonly #active = new Set<Session>();
  #noMoreSessions = false;
  #pumping = false;

  constructor(port: ChannelsPort) {
    this.#port = port;
  }

  /** How many sessions wait for a request or for its end. */
  get active(): number {
    return this.#active.size;
  }

  /**
   * Takes a message of the connection protocol.
   *
   * @returns false when its number means nothing here
   * @throws WireFault when it is malformed
   */
  take(payload: Buffer): boolean {
    const reader = new WireReader(payload, 1);
    if (payload[0] !== messages.globalRequest) this.#port.active();
    switch (payload[0]) {
      case messages.globalRequest:
        this.#globalRequest(reader);
        return true;
      case messages.channelOpen:
        this.#openChannel(reader);
        return true;
      case messages.channelRequest:
        this.#request(reader);
        return true;
      case messages.channelWindowAdjust:
        this.#find(reader).channel.adjust(reader.uint32());
        return true;
      case messages.channelData:
        this.#find(reader).channel.receive(reader.string());
        return true;
      case messages.channelEof:
        this.#find(reader).channel.receiveEnd();
        return true;
      case messages.channelClose:
        this.#close(this.#find(reader));
        return true;
      default:
        // Answers to requests that this side never makes, and the clients' standard error, which none has.
        return ignored.has(payload[0] ?? 0);
    }
  }

  /** Sends what waits, a packet of each channel in turn, as far as the socket takes it. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    let sent = true;
    while (sent) {
      sent = false;
      for (const { channel } of this.#open.values()) {
        if (this.#port.canSend() && channel.sendOne()) sent = true;
      }
      if (sent) this.#port.active();
    }
    this.#pumping = false;
  }

  /** Ends all requests and tells their clients why. */
  async end(why: UserError): Promise<void> {
    await Promise.all([...this.#active].map((session) => session.end(why)));
  }

  /** Ends one request and tells its client why. @returns whether it runs here */
  endRequest(id: string, why: UserError): boolean {
    const session = [...this.#active].find((each) => each.started && each.requestId === id);
    if (session === undefined) return false;
    void within(longestEndMs, session.end(why)).then(() => {
      // Its client reads nothing, so that it can't be told either.
      if (session.channel.open) this.#close(session);
    });
    return true;
  }

  /** Tells sessions that were asked nothing so far why they can't be used any more. */
  async refuseWaiting(why: UserError): Promise<void> {
    const waiting = [...this.#active].filter((session) => !session.started);
    await Promise.all(waiting.map((session) => session.end(why)));
  }

  /** The connection is over. */
  drop(): void {
    for (const session of new Set([...this.#open.values(), ...this.#active])) session.drop();
    this.#open.clear();
  }

  #find(reader: WireReader): Session {
    const session = this.#open.get(reader.uint32());
    if (session === undefined) throw new WireFault('no such channel');
    return session;
  }

  #close(session: Session): void {
    session.channel.receiveClose();
    session.drop();
    this.pump();
  }

  #globalRequest(reader: WireReader): void {
    const name = reader.text();
    const wantsAnswer = reader.boolean();
    const known = name === 'no-more-sessions@openssh.com';
    if (known) this.#noMoreSessions = true;
    if (!wantsAnswer) return;
    this.#port.transport.send(known ? messages.requestSuccess() : messages.requestFailure());
  }

  #openChannel(reader: WireReader): void {
    const type = reader.text();
    const remote = reader.uint32();
    const window = reader.uint32();
    const packetBytes = reader.uint32();
    const { transport, limit } = this.#port;
    const used = new Set([...this.#open.values(), ...this.#active]).size;
    const full = new UserError('unavailable', `${limit} channels of this connection are in use`, {
      hint: 'wait for one to end, or open another connection',
    });
    const fault = this.#openFault(
      { type, packetBytes },
      used < limit + spareChannels ? undefined : full,
    );
    if (fault !== undefined) {
      transport.send(messages.openFailure(remote, fault.reason, `cpm: ${fault.text}`));
      return;
    }
    const local = this.#freeNumber();
    const numbers = { local, remote, window, packetBytes };
    const session = this.#makeSession(numbers, used >= limit ? full : undefined);
    this.#open.set(local, session);
    this.#active.add(session);
    transport.send(messages.openConfirmation(remote, local, firstWindowBytes, largestPacketBytes));
  }

  #openFault(
    { type, packetBytes }: { type: string; packetBytes: number },
    full: UserError | undefined,
  ): { reason: OpenFailure; text: string } | undefined {
    if (/^(direct-|forwarded-|x11$|auth-agent)/.test(type)) {
      return { reason: 'prohibited', text: 'forwarding is not offered here' };
    }
    if (type !== 'session')
      return { reason: 'unknownType', text: 'only sessions are offered here' };
    if (this.#noMoreSessions) return { reason: 'prohibited', text: 'no more sessions were wanted' };
    if (packetBytes === 0) return { reason: 'prohibited', text: 'packets without bytes' };
    return full === undefined ? undefined : { reason: 'shortage', text: full.message };
  }

  #makeSession(
    numbers: ConstructorParameters<typeof Channel>[0],
    full: UserError | undefined,
  ): Session {
    const port = this.#port;
    const channel = new Channel(numbers, {
      transport: port.transport,
      pump: () => this.pump(),
      closed: (local) => this.#open.delete(local),
    });
    const session: Session = new Session(channel, {
      refusal: () => full ?? port.refusal(),
      run: port.run,
      defect: port.defect,
      pointless: port.pointless,
      silence: port.silence,
      settled: () => {
        if (this.#active.delete(session)) port.settled();
      },
    });
    return session;
  }

  #freeNumber(): number {
    let number = 0;
    while (this.#open.has(number)) number += 1;
    return number;
  }

  #request(reader: WireReader): void {
    const session = this.#find(reader);
    const type = reader.text();
    const wantsAnswer = reader.boolean();
    const { channel } = session;
    if (!channel.open) return;
    const begin = (): void => {
      if (wantsAnswer) this.#port.transport.send(messages.channelSuccess(channel.remote));
    };
    if (session.request(type, reader, begin) || !wantsAnswer) return;
    this.#port.transport.send(messages.channelFailure(channel.remote));
  }
}

// 81, 82: answers to our keepalive. 91, 92, 99, 100: answers to what a server never asks.
const ignored = new Set([81, 82, 91, 92, messages.channelExtendedData, 99, 100]);
