import type { Core } from '../../core/core.ts';
import { type Identified, principalOfKey, type SignInStore } from '../../core/identify.ts';
import { UserError } from '../../model/errors.ts';
import type { Principal } from '../../model/principal.ts';
import { splitWords } from '../../model/words.ts';
import type { Request } from '../../shell/request.ts';
import { decode, noSubsystem } from '../ssh/session.ts';
import { type Asked, decodeAsked } from './asked.ts';
import { keyLine, type Place } from './key-line.ts';
import { readForced } from './words.ts';

/** What the door behind sshd is made of, and whom it asks. */
export interface ForcedHouse {
  readonly store: SignInStore;
  readonly dataDir: string;
  /** As they are now. */
  limits(): { readonly connectionsPerUser: number; readonly idleMs: number };
  /** How many connections somebody has at the other doors. @param user - as `Identified` has it */
  elsewhere(user: string): number;
  /** Told once for each connection to sshd, as far as they can be told apart. */
  signedIn(principal: Principal, address: string | undefined): void;
}

/** Who comes through sshd, and what they ask; or the answer to sshd's own question. */
export type Guest =
  | { readonly answer: string }
  | {
      readonly owner: Omit<Identified, 'type' | 'blob'>;
      readonly asked: Pick<
        Request,
        'door' | 'principal' | 'address' | 'words' | 'gitProtocol' | 'terminal' | 'directory'
      > & { readonly unreadable?: UserError };
      /** Why nothing may be asked now. */
      readonly refusal: UserError | undefined;
      readonly idleMs: number;
    };

const mostRemembered = 1000;

/** The guests that sshd sends in: each comes for one request, with the id of the key whose signature sshd has verified. */
export class Guests {
  readonly #house: ForcedHouse;
  readonly #open = new Map<string, number>();
  /** Connections to sshd whose sign-in is on record, the oldest first. */
  readonly #seen = new Set<string>();

  constructor(house: ForcedHouse) {
    this.#house = house;
  }

  /**
   * @param payload - of a `forced` frame
   * @throws UserError `usage` for other words, `denied` for a key that never was
   */
  async receive(payload: Buffer): Promise<Guest> {
    const asked = decodeAsked(payload);
    const words = readForced(asked.words);
    const { store, dataDir } = this.#house;
    if (words === undefined) throw new UserError('usage', 'not the words of a forced command');
    if (words.command === 'authorized-keys') {
      const place: Place = { dataDir, config: words.config };
      return { answer: await keyLine(store, words, place) };
    }
    const owner = await principalOfKey(store, words.keyId);
    if (owner === undefined) throw new UserError('denied', 'this key is not known here any more');
    const { principal } = owner;
    const address = asked.connection?.split(' ')[0];
    this.#note(principal, asked.connection);
    const said = readCommand(asked.command);
    const { gitProtocol } = asked;
    const surroundings = { address, gitProtocol, terminal: undefined, directory: undefined };
    const limits = this.#house.limits();
    return {
      owner,
      asked: { door: 'forced', principal, ...surroundings, ...said },
      refusal: this.#refusal(owner.user, limits.connectionsPerUser),
      idleMs: limits.idleMs,
    };
  }

  /** A guest is in. @returns the function to call when it is out again */
  enter(user: string): () => void {
    this.#open.set(user, this.#count(user) + 1);
    return () => {
      const left = this.#count(user) - 1;
      if (left > 0) this.#open.set(user, left);
      else this.#open.delete(user);
    };
  }

  #count(user: string): number {
    return this.#open.get(user) ?? 0;
  }

  #refusal(user: string, limit: number): UserError | undefined {
    if (this.#count(user) + this.#house.elsewhere(user) < limit) return undefined;
    return new UserError('unavailable', `${limit} connections of yours are open`, {
      hint: 'close some, then try again',
    });
  }

  /** Several sessions of one connection are one sign-in. */
  #note(principal: Principal, connection: Asked['connection']): void {
    const key = `${'keyId' in principal ? principal.keyId : ''} ${connection}`;
    if (connection !== undefined && this.#seen.has(key)) return;
    this.#seen.add(key);
    const [oldest = ''] = this.#seen;
    if (this.#seen.size > mostRemembered) this.#seen.delete(oldest);
    this.#house.signedIn(principal, connection?.split(' ')[0]);
  }
}

/** What the client sent to sshd, as words; what can't be read as such is on record all the same. */
function readCommand(command: Buffer | undefined): Pick<Request, 'words' | 'unreadable'> {
  if (command === undefined) return { words: [] };
  try {
    const line = decode(command);
    // A client that wants sftp has sshd ask for the program of its configuration.
    if (/^(\S*\/)?(sftp-server|internal-sftp)\b/.test(line)) throw noSubsystem('sftp');
    return { words: splitWords(line) };
  } catch (error) {
    if (error instanceof UserError) return { words: [String(command)], unreadable: error };
    throw error;
  }
}

/** Those whom sshd sends in. @param elsewhere - somebody's connections at the other doors */
export function guestsOf(core: Core, elsewhere: (user: string) => readonly unknown[]): Guests {
  return new Guests({
    store: core.store,
    dataDir: core.config.dataDir,
    limits: () => {
      const { values } = core.config;
      return {
        connectionsPerUser: values['limits.connections_per_user'],
        idleMs: values['limits.idle'],
      };
    },
    elsewhere: (user) => elsewhere(user).length,
    signedIn: (principal, address) => {
      core.audit.signedIn(principal, address, 'forced');
      core.signIns.note(principal);
    },
  });
}
