import { isIPv6 } from 'node:net';
import { UserError } from '../../model/errors.ts';
import type { ConnectionCounts, SshLimits } from './door.ts';

const later = 'try again in a moment';

/** Counts connections, from accept to close, against the limits. */
export class Census {
  readonly #limits: () => SshLimits;
  readonly #perNetwork = new Map<string, number>();
  readonly #perUser = new Map<string, number>();
  #connections = 0;
  #unauthenticated = 0;
  #requests = 0;

  constructor(limits: () => SshLimits) {
    this.#limits = limits;
  }

  /** Why one more connection from this address is too many; undefined when there is room. */
  refusal(address: string): UserError | undefined {
    const limits = this.#limits();
    const here = this.#perNetwork.get(networkOf(address)) ?? 0;
    if (this.#connections >= limits.connections) {
      return full(`all ${limits.connections} connections of this server are in use`);
    }
    if (this.#unauthenticated >= limits.unauthenticated) {
      return full(`${limits.unauthenticated} connections are signing in, which is the limit`);
    }
    if (here >= limits.unauthenticatedPerAddress) {
      const most = limits.unauthenticatedPerAddress;
      return full(`${most} connections from your address are signing in, which is the limit`);
    }
    return undefined;
  }

  /** A connection was accepted. */
  arrive(address: string): void {
    this.#connections += 1;
    this.#unauthenticated += 1;
    add(this.#perNetwork, networkOf(address), 1);
  }

  /** It no longer signs in: it has done so, or it is gone. */
  signInEnded(address: string): void {
    this.#unauthenticated -= 1;
    add(this.#perNetwork, networkOf(address), -1);
  }

  /** It signed in. @returns how many connections the user has now */
  signedIn(user: string): number {
    return add(this.#perUser, user, 1);
  }

  /** It is gone; `user` is absent where it had not signed in. */
  leave(user: string | undefined): void {
    this.#connections -= 1;
    if (user !== undefined) add(this.#perUser, user, -1);
  }

  requestBegan(): void {
    this.#requests += 1;
  }

  requestEnded(): void {
    this.#requests -= 1;
  }

  counts(): ConnectionCounts {
    return {
      connections: this.#connections,
      unauthenticated: this.#unauthenticated,
      requests: this.#requests,
    };
  }
}

function full(message: string): UserError {
  return new UserError('unavailable', message, { hint: later });
}

function add(counts: Map<string, number>, key: string, difference: number): number {
  const count = (counts.get(key) ?? 0) + difference;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
  return count;
}

/** An IPv4 address whether or not it came through an IPv6 socket. */
export function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}

/** Who is counted together: one IPv4 address, or a /64 of IPv6, which is what one customer is given. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [bare = ''] = address.split('%');
  if (!isIPv6(bare)) return address;
  const [head = '', tail] = bare.split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  const groups = [...front, ...Array.from({ length: Math.max(zeros, 0) }, () => '0'), ...back];
  return groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
