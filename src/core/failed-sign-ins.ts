import { isIPv4 } from 'node:net';

export interface FailedCount {
  /** `192.0.2.0/24`, `2001:db8::/64`, or `others` once there are too many in a minute. */
  readonly prefix: string;
  readonly attempts: number;
  readonly first: string;
  readonly last: string;
  /** At most five, those seen first. */
  readonly fingerprints: readonly string[];
}

const windowMs = 60_000;
const prefixesAWindow = 1000;
const fingerprintsKept = 5;

/**
 * Counts connections that tried to sign in and did not, so that an attack costs the record one row per address prefix
 * and minute, and at most a thousand rows a minute (S27).
 */
export class FailedSignIns {
  readonly #counts = new Map<string, { -readonly [K in keyof FailedCount]: FailedCount[K] }>();
  readonly #record: (count: FailedCount) => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param record - takes one finished count */
  constructor(record: (count: FailedCount) => void) {
    this.#record = record;
  }

  count(prefix: string, fingerprints: readonly string[], now: Date): void {
    const at = now.toISOString();
    this.add({ prefix, attempts: 1, first: at, last: at, fingerprints });
  }

  /** Adds to what is counted; also a count of before that could not be recorded. */
  add(more: FailedCount): void {
    const full = this.#counts.size >= prefixesAWindow && !this.#counts.has(more.prefix);
    const prefix = full ? 'others' : more.prefix;
    const held = this.#counts.get(prefix);
    const known = new Set([...(held?.fingerprints ?? []), ...more.fingerprints]);
    this.#counts.set(prefix, {
      prefix,
      attempts: (held?.attempts ?? 0) + more.attempts,
      first: held !== undefined && held.first < more.first ? held.first : more.first,
      last: held !== undefined && held.last > more.last ? held.last : more.last,
      fingerprints: [...known].slice(0, fingerprintsKept),
    });
    this.#timer ??= setTimeout(() => this.flush(), windowMs).unref();
  }

  /** Ends the window now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const counts = [...this.#counts.values()];
    this.#counts.clear();
    for (const count of counts) this.#record(count);
  }

  stop(): void {
    this.flush();
  }
}

/** The /24 of an IPv4 address, the /64 of an IPv6 one; IPv4 in IPv6 counts as IPv4. */
export function addressPrefix(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  if (isIPv4(plain)) return plain.replace(/\.\d+$/, '.0/24');
  const [head = '', tail] = plain.split('::');
  const groups = head === '' ? [] : head.split(':');
  const rest = tail === undefined || tail === '' ? [] : tail.split(':');
  const filled =
    tail === undefined
      ? groups
      : [...groups, ...Array(8 - groups.length - rest.length).fill('0'), ...rest];
  return `${filled.slice(0, 4).join(':')}::/64`;
}
