/** The contract's error codes and the exit status of each. `git`'s own status passes unchanged; 255 stays ssh's. */
export const statuses = {
  internal: 1,
  usage: 2,
  not_found: 3,
  denied: 4,
  conflict: 5,
  unavailable: 6,
  corrupt: 7,
} as const;

export type ErrorCode = keyof typeof statuses;

/**
 * A fault that a person can understand and act on. Everything else that is thrown is a defect of cpm.
 *
 * `message` says what and why without the leading `cpm:`; `hint` is the next thing to do, one sentence.
 */
export class UserError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  /** The id of what it is about, for the record alone: the asker may not even know that it exists. */
  readonly aboutId: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { hint?: string; cause?: unknown; aboutId?: string | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'UserError';
    this.code = code;
    this.hint = options.hint;
    this.aboutId = options.aboutId;
  }

  /** The process exit status of this error, from the contract's table. */
  get status(): number {
    return statuses[this.code];
  }
}

/**
 * The one answer for a repository that is missing and for one that may not be seen.
 *
 * @param name - as it was asked for
 */
export function noSuchRepository(name: string, asker: string, aboutId?: string): UserError {
  return new UserError('not_found', `${name}: no such repository, or not yours to see (${asker})`, {
    hint: 'see what you reach with: list',
    aboutId,
  });
}
