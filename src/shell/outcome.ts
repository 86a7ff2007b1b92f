import type { Outcome } from '../core/audit.ts';
import type { UserError } from '../model/errors.ts';

/** What a request came to: its exit status, and what the record keeps of it. */
export interface Done {
  readonly status: number;
  /** `ok` unless told. */
  readonly outcome?: Outcome;
  /** Whether it changed something, however its client fared. */
  readonly acted?: boolean;
  readonly targetId?: string | undefined;
  readonly detail?: Readonly<Record<string, unknown>>;
}

/** How the record calls what an error ended. */
export function outcomeOf({ code }: UserError): Outcome {
  switch (code) {
    case 'denied':
    case 'not_found':
    case 'usage':
    case 'conflict':
      return code;
    default:
      return 'failed';
  }
}
