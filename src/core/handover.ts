import { UserError } from '../model/errors.ts';

/** Who asks for another server process in this one's place. */
export interface Restart {
  /** How long what runs may go on; undefined for `shutdown.grace`. */
  readonly graceMs: number | undefined;
  /** The request, whose record the other process closes. */
  readonly request: string;
}

type Begin = (restart: Restart) => Promise<number>;

/** Has another process serve in place of the one that does. */
export class Handover {
  #begin: Begin | undefined;

  /** @param begin - starts a process; returns its pid once it serves, and throws while this one serves on */
  offer(begin: Begin): void {
    this.#begin = begin;
  }

  /** How to begin. @throws UserError `unavailable` where no server runs */
  find(): Begin {
    if (this.#begin !== undefined) return this.#begin;
    throw new UserError('unavailable', 'no server runs on this data directory', {
      hint: 'start one: cpm serve',
    });
  }
}
