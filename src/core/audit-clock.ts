import type { Log } from '../log.ts';
import type { AuditChain } from './audit-chain.ts';

const headMs = 60_000;
const dropMs = 3_600_000;

/** The hours of the record: its head is signed every minute, and what is older than it is kept is dropped every hour. */
export class AuditClock {
  readonly #chain: AuditChain;
  readonly #log: Log;
  readonly #keepMs: () => number;
  readonly #headMs: number;
  readonly #timers: NodeJS.Timeout[] = [];
  #work: Promise<void> = Promise.resolve();

  /** @param keepMs - `audit.keep`, Infinity for ever; `headMs` - how often the head is signed */
  constructor(chain: AuditChain, log: Log, times: { keepMs: () => number; headMs?: number }) {
    this.#chain = chain;
    this.#log = log;
    this.#keepMs = times.keepMs;
    this.#headMs = times.headMs ?? headMs;
  }

  /** Does both now, and from now on. @throws UserError `unavailable` when the signing key can't be used */
  async start(): Promise<void> {
    await this.#chain.signer();
    this.#drop();
    this.#sign();
    this.#timers.push(
      setInterval(() => this.#sign(), this.#headMs).unref(),
      setInterval(() => this.#drop(), dropMs).unref(),
    );
  }

  /** Signs the last head. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    this.#sign();
    await this.#work;
  }

  #sign(): void {
    this.#next(() => this.#chain.signHead());
  }

  #drop(): void {
    const keepMs = this.#keepMs();
    if (keepMs === Number.POSITIVE_INFINITY) return;
    const before = new Date(Date.now() - keepMs).toISOString();
    this.#next(() => this.#chain.drop(before));
  }

  #next(work: () => Promise<void>): void {
    this.#work = this.#work
      .then(work)
      .catch((error) => this.#log.error({ err: error }, 'the audit chain was not looked after'));
  }
}
