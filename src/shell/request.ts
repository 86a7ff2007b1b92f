import type { UserError } from '../model/errors.ts';
import type { Principal } from '../model/principal.ts';
import type { Stdio } from '../model/stdio.ts';

export type Door = 'ssh' | 'local' | 'forced' | 'clock' | 'git';

/** What a terminal at the other end can show; absent where the output is not a terminal. */
export interface Terminal {
  readonly columns: number;
  readonly colour: boolean;
}

/**
 * One thing that somebody asks of cpm. A door makes it; `shell/run.ts` alone carries it out.
 *
 * `principal` says who signed in, no more: key, state and right are read anew from the store for every request.
 */
export interface Request {
  /** A UUID: in the log, in the audit record and in the text of an internal error. */
  readonly id: string;
  readonly door: Door;
  readonly principal: Principal;
  /** The client's IP address; absent at the local door. */
  readonly address: string | undefined;
  /** The command or git program with its arguments, already split; empty for the greeting. */
  readonly words: readonly string[];
  /** Why what was asked can't be read as words; then `words` is that text as a whole, for the record. */
  readonly unreadable?: UserError;
  /** The client's `GIT_PROTOCOL`, unchecked. */
  readonly gitProtocol: string | undefined;
  readonly stdio: Stdio;
  /** Aborts when the client is gone or its right to be here ended. Its reason is a UserError in the latter case. */
  readonly signal: AbortSignal;
  /** Takes the request out of the limit of idle connections until its end; absent where there is no such limit. */
  readonly staySilent?: () => void;
  /** The id of the connection that it came through, where it came through one. */
  readonly connection?: string;
  readonly terminal: Terminal | undefined;
  /** Where relative FILE arguments start; absent at remote doors, where a FILE can only be `-`. */
  readonly directory: string | undefined;
}

/** Carries a request out from start to finish. @returns the exit status. Never rejects. */
export type Run = (request: Request) => Promise<number>;
