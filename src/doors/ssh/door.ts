import type { Log } from '../../log.ts';
import type { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import type { PublicKey } from '../../model/sshkey.ts';
import type { ListenAddress } from '../../settings.ts';
import type { Run } from '../../shell/request.ts';
import type { Closing, PassedSocket, Place } from '../listen.ts';

/** Whose key it is, as the store knew it when asked. */
export interface KeyOwner extends PublicKey {
  readonly principal: Principal;
  /** What connections are counted by: everybody's own word, such as the user's id. */
  readonly user: string;
  /** When the key ends, in milliseconds since 1970; absent for a key without an end. */
  readonly endsAt?: number;
}

/** The limits of the contract, section 8, that this door keeps. */
export interface SshLimits {
  readonly loginGraceMs: number;
  readonly authTries: number;
  /** Channels at once on one connection. */
  readonly channels: number;
  /** Connections at once that have not signed in. */
  readonly unauthenticated: number;
  /** Connections at once, signed in or not. */
  readonly connections: number;
  readonly unauthenticatedPerAddress: number;
  readonly connectionsPerUser: number;
  readonly idleMs: number;
}

/** What the door is made of, and whom it asks. */
export interface SshDoorOptions {
  /** Texts of private key files, ed25519 or ecdsa, without a passphrase. */
  readonly hostKeys: readonly string[];
  /** As they are now: each connection takes those of its beginning. */
  limits(): SshLimits;
  readonly log: Log;
  /** Who owns this key now? Undefined when it is unknown, revoked, expired, pending or its owner disabled. */
  identify(blob: Buffer): Promise<KeyOwner | undefined>;
  /** Told after a verified signature, before the client is. */
  signedIn(owner: KeyOwner, address: string): Promise<void>;
  /** Told once for each connection that tried to sign in and ended without; at most five fingerprints. */
  signInFailed(address: string, fingerprints: readonly string[]): void;
  readonly run: Run;
  /** How often a silent client is asked for a sign of life; 60 s, and gone after five without, unless told. */
  readonly keepaliveMs?: number;
  /** After how many bytes new keys are made; 1 GiB unless told. */
  readonly rekeyBytes?: number;
}

/** A connection, signed in or not. */
export interface OpenConnection {
  /** A UUID. */
  readonly id: string;
  readonly address: string;
  /** ISO 8601 UTC. */
  readonly startedAt: string;
  /** Absent before the sign-in. */
  readonly owner: KeyOwner | undefined;
}

/** How many connections there are now. */
export interface ConnectionCounts {
  readonly connections: number;
  readonly unauthenticated: number;
  readonly requests: number;
}

/** The SSH front door: it signs people in and turns what they ask into requests. */
export interface SshDoor {
  /** `SHA256:…` of each host key, in the order given. */
  readonly fingerprints: readonly string[];
  /** Begins to accept. @returns the address with the real port. @throws Error when it can't be listened on */
  listen(place: Place): Promise<ListenAddress>;
  /** Ends whatever the matching keys have open, within a second; `why` is told to the clients. */
  endWhere(matches: (owner: KeyOwner) => boolean, why: UserError): void;
  /** Ends one connection, or one request, within a second. @returns whether it is here */
  end(id: string, why: UserError): boolean;
  /** Shows other host keys from now on; who is connected keeps those that were shown. @throws UserError `usage` */
  showHostKeys(privateKeys: readonly string[]): Promise<void>;
  connections(): readonly OpenConnection[];
  counts(): ConnectionCounts;
  /** What it listens on, for another process to go on with. */
  sockets(): readonly PassedSocket[];
  /** Stops accepting, lets requests finish within the grace, then ends them. */
  close(closing: Closing): Promise<void>;
}
