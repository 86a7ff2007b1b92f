/** What a check came to. `warn`: it works, and something should be known. */
export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  readonly hint?: string | undefined;
  /** Whether it was mended just now. */
  readonly mended?: boolean;
}

export function ok(check: string, detail: string): Finding {
  return { check, state: 'ok', detail };
}

export function warn(check: string, detail: string, hint: string): Finding {
  return { check, state: 'warn', detail, hint };
}

export function fail(check: string, detail: string, hint: string): Finding {
  return { check, state: 'fail', detail, hint };
}

/** A list as one sentence has room for. */
export function some(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ');
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown;
}
