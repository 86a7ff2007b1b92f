import { UserError } from '../../model/errors.ts';
import { networkOf } from '../ssh/census.ts';

/** The limits of contract section 8 that hold where nobody ever signs in. */
export interface CrowdLimits {
  readonly unauthenticated: number;
  readonly unauthenticatedPerAddress: number;
}

/** Counts strangers, from accept to close, in all and by where they come from. */
export class Crowd {
  readonly #limits: () => CrowdLimits;
  readonly #perNetwork = new Map<string, number>();
  #count = 0;

  constructor(limits: () => CrowdLimits) {
    this.#limits = limits;
  }

  /** Why one more from this address is too many; undefined when there is room. */
  refusal(address: string): UserError | undefined {
    const { unauthenticated, unauthenticatedPerAddress } = this.#limits();
    if (this.#count >= unauthenticated) {
      return full(`${unauthenticated} connections without a sign-in are open`);
    }
    if ((this.#perNetwork.get(networkOf(address)) ?? 0) < unauthenticatedPerAddress)
      return undefined;
    return full(`${unauthenticatedPerAddress} connections from your address are open`);
  }

  /** @returns the function to call once when the connection is gone */
  arrive(address: string): () => void {
    const network = networkOf(address);
    this.#count += 1;
    this.#perNetwork.set(network, (this.#perNetwork.get(network) ?? 0) + 1);
    return () => {
      this.#count -= 1;
      const left = (this.#perNetwork.get(network) ?? 1) - 1;
      if (left === 0) this.#perNetwork.delete(network);
      else this.#perNetwork.set(network, left);
    };
  }
}

function full(what: string): UserError {
  return new UserError('unavailable', `${what}, which is the limit`, {
    hint: 'try again in a moment',
  });
}
