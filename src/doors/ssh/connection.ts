import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { UserError } from '../../model/errors.ts';
import { WireFault, WireReader } from '../../model/sshwire.ts';
import { Authentication } from './auth.ts';
import type { Census } from './census.ts';
import { Channels } from './channels.ts';
import type { KeyOwner, SshDoorOptions } from './door.ts';
import { type DisconnectReason, messages } from './messages.ts';
import { Outlet } from './outlet.ts';
import { within } from './patience.ts';
import { endSoftly, lastWordMs, refusalLine } from './refusal.ts';
import { type HostIdentity, Transport } from './ssh2-internals.ts';
import type { Sweeper } from './sweeper.ts';
import { Watch } from './watch.ts';

/** What all connections of a door share. */
export interface House {
  readonly options: SshDoorOptions;
  readonly identity: HostIdentity;
  readonly census: Census;
  readonly sweeper: Sweeper;
  /** Why no request is taken any more, and why it ends when its last has; undefined while the door is open. */
  closing(): UserError | undefined;
  leaving(): UserError | undefined;
  /** The socket is closed and every request has ended. */
  gone(connection: Connection): void;
}

const tellMs = 700; // Together less than a second.
const leaveMs = 200;

/** One connection, from accept to the end of its last request. */
export class Connection {
  readonly id = randomUUID();
  readonly startedAt = new Date().toISOString();
  fresh = true; // It has asked for nothing so far.
  readonly address: string;
  readonly #socket: Socket;
  readonly #house: House;
  readonly #transport: Transport;
  readonly #authentication: Authentication;
  readonly #channels: Channels;
  readonly #watch: Watch;
  readonly #outlet: Outlet;
  /** Settles when the client has closed its side. */
  readonly #left: Promise<void>;
  #owner: KeyOwner | undefined;
  #overLimit: UserError | undefined;
  #serviceAccepted = false;
  #ending: UserError | undefined;
  #saidLast = false;
  #closed = false;

  constructor(socket: Socket, address: string, house: House) {
    this.#socket = socket;
    this.address = address;
    this.#house = house;
    const { limits, keepaliveMs = 60_000, rekeyBytes = 1024 ** 3 } = house.options;
    this.#outlet = new Outlet(socket, (bytes) => {
      this.#watch.sent(bytes);
      house.sweeper.passed(bytes);
    });
    this.#transport = new Transport(house.identity, {
      write: (bytes) => this.#outlet.write(bytes),
      identified: () => this.#outlet.hold(),
      offered: () => this.#outlet.release(),
      keysChanged: () => {
        const fault = this.#watch.keysChanged();
        if (fault === undefined) this.#channels.pump();
        else this.#violated(fault);
      },
      payload: (payload) => this.#take(payload),
      failed: (cause, tooLong) => void this.#broken(cause, tooLong),
    });
    this.#authentication = this.#makeAuthentication();
    this.#channels = this.#makeChannels();
    this.#watch = new Watch(
      { ...limits(), keepaliveMs, rekeyBytes },
      {
        transport: this.#transport,
        end: (why) => this.end(why),
        cut: () => this.#socket.destroy(),
        refuse: (why) => this.#disconnect('byApplication', refusalLine(why)),
      },
    );
    this.#left = new Promise((resolve) => {
      socket.once('end', resolve);
      socket.once('close', () => resolve());
    });
    house.census.arrive(address);
    this.#listen();
    this.#transport.start();
  }

  get owner(): KeyOwner | undefined {
    return this.#owner;
  }

  /** Whether a request is under way. */
  get busy(): boolean {
    return this.#channels.active > 0;
  }

  /** Tells every open channel why it ends, then ends the connection: all within a second. */
  end(why: UserError): void {
    if (this.#ending !== undefined) return;
    this.#ending = why;
    void this.#endWithin(why);
  }

  /** Ends one of its requests within a second. @returns whether it has that request */
  endRequest(id: string, why: UserError): boolean {
    return this.#channels.endRequest(id, why);
  }

  /** Cuts the connection without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  async #endWithin(why: UserError): Promise<void> {
    await within(tellMs, this.#channels.end(why));
    // A client whose channels are closed leaves by itself, with their status; a disconnect would make that 255.
    await within(leaveMs, this.#left);
    this.#disconnect('byApplication', refusalLine(why));
  }

  #listen(): void {
    const socket = this.#socket;
    socket.setNoDelay(true);
    socket.on('data', (bytes) => {
      this.#watch.received(bytes.length);
      this.#house.sweeper.passed(bytes.length);
      this.#transport.receive(bytes);
      this.#watch.exchangeChecked();
    });
    socket.on('drain', () => this.#channels.pump());
    socket.once('end', () => this.#over());
    socket.once('close', () => this.#over());
  }

  #take(payload: Buffer): void {
    try {
      this.#watch.heard();
      if (this.#owner === undefined) this.#takeBeforeSignIn(payload);
      else if (payload[0] !== messages.userauthRequest && !this.#channels.take(payload)) {
        this.#transport.send(messages.unimplemented(this.#transport.lastSequence));
      }
    } catch (error) {
      this.#fault(error);
    }
  }

  #takeBeforeSignIn(payload: Buffer): void {
    const type = payload[0];
    if (type === messages.serviceRequest && !this.#serviceAccepted) {
      const name = new WireReader(payload, 1).text();
      if (name !== 'ssh-userauth') throw new WireFault('an unknown service');
      this.#serviceAccepted = true;
      this.#transport.send(messages.serviceAccept(name));
    } else if (type === messages.userauthRequest && this.#serviceAccepted) {
      this.#authentication.request(payload);
    } else throw new WireFault(`message ${type} before the sign-in`);
  }

  #makeAuthentication(): Authentication {
    const { options } = this.#house;
    return new Authentication({
      tries: options.limits().authTries,
      send: (payload) => this.#transport.send(payload),
      sessionId: () => this.#transport.sessionId,
      identify: (blob) => options.identify(blob),
      signedIn: (owner) => this.#signIn(owner),
      refuse: (reason, text) => this.#disconnect(reason, text),
      failed: (cause) => this.#fault(cause),
    });
  }

  async #signIn(owner: KeyOwner): Promise<void> {
    const { options, census } = this.#house;
    await options.signedIn(owner, this.address);
    if (this.#closed || this.#saidLast) return;
    this.#owner = owner;
    census.signInEnded(this.address);
    const count = census.signedIn(owner.user);
    const limit = options.limits().connectionsPerUser;
    const full = new UserError('unavailable', `${limit} connections of yours are open`, {
      hint: 'close some, or let one connection serve several commands (ControlMaster)',
    });
    if (count > 2 * limit) return this.#disconnect('tooManyConnections', refusalLine(full));
    if (count > limit) this.#overLimit = full;
    this.#watch.signedIn(owner);
    this.#transport.send(messages.authSuccess());
  }

  #makeChannels(): Channels {
    const { options, census, closing } = this.#house;
    return new Channels({
      transport: this.#transport,
      limit: options.limits().channels,
      canSend: () => !this.#transport.exchanging && !this.#saidLast && !this.#outlet.full,
      refusal: () => this.#ending ?? this.#overLimit ?? closing(),
      run: async (asked) => {
        const { principal } = this.#knownOwner();
        const { address, id: connection } = this;
        const from = { door: 'ssh', principal, address, connection, directory: undefined } as const;
        this.fresh = false;
        census.requestBegan();
        try {
          return await options.run({ ...asked, ...from });
        } finally {
          census.requestEnded();
        }
      },
      active: () => this.#watch.active(),
      silence: (difference) => this.#watch.silence(difference),
      defect: (cause) => options.log.error({ err: cause }, 'a request failed at the ssh door'),
      pointless: (why) => void this.#endUnlessUsed(why),
      settled: () => this.#settled(),
    });
  }

  // libssh2 waits for a subsystem's first word even when its channel is closed.
  async #endUnlessUsed(why: UserError): Promise<void> {
    await within(lastWordMs, this.#left);
    if (!this.busy) this.#disconnect('byApplication', refusalLine(why));
  }

  #knownOwner(): KeyOwner {
    if (this.#owner === undefined) throw new Error('nobody has signed in');
    return this.#owner;
  }

  #settled(): void {
    if (this.busy) return;
    const why = this.#house.leaving();
    if (this.#closed) this.#house.gone(this);
    else if (why !== undefined) this.end(why);
  }

  async #broken(cause: Error, tooLong: boolean): Promise<void> {
    // What is too long for a packet is a command: nothing else that a client sends has no bounds of its own.
    if (tooLong && this.#owner !== undefined) {
      const why = new UserError('usage', 'the command is too long: 32 KiB are allowed', {
        hint: 'longer texts are read from standard input: give - in their place',
      });
      await within(tellMs, this.#channels.refuseWaiting(why));
      await within(lastWordMs, this.#left);
    }
    this.#violated(cause.message);
  }

  #fault(cause: unknown): void {
    if (cause instanceof WireFault) {
      this.#violated(cause.message);
      return;
    }
    this.#house.options.log.error({ err: cause }, 'a connection failed at the ssh door');
    this.#disconnect('byApplication', 'cpm: a fault of the server, see its log');
  }

  #violated(fault: string): void {
    this.#house.options.log.debug({ address: this.address, fault }, 'ssh protocol error');
    this.#disconnect('protocolError', `cpm: protocol error: ${fault}`);
  }

  /** The last word: whatever comes after it is neither read nor written. */
  #disconnect(reason: DisconnectReason, text: string): void {
    if (this.#saidLast || this.#closed) return;
    this.#outlet.release();
    this.#transport.sendNow(messages.disconnect(reason, text));
    this.#saidLast = true;
    this.#release();
    endSoftly(this.#socket);
  }

  #over(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
    this.#socket.destroy();
    const { census, options } = this.#house;
    const tried = this.#authentication.failedFingerprints;
    if (this.#owner === undefined) {
      census.signInEnded(this.address);
      if (tried !== undefined) options.signInFailed(this.address, tried);
    }
    census.leave(this.#owner?.user);
    if (!this.busy) this.#house.gone(this);
  }

  #release(): void {
    this.#outlet.close();
    this.#authentication.stop();
    this.#watch.stop();
    this.#transport.free();
    this.#channels.drop();
  }
}
