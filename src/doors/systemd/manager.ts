import { getSystemErrorName } from 'node:util';
import type { Log } from '../../log.ts';
import { loadSockets, notifyByProgram } from '../../programs/sockets.ts';
import type { Told } from './told.ts';

/** How much longer than the grace a stop may take, until a service manager does it the hard way. */
const closingMs = 15_000;

/**
 * The service manager that started this server, as far as it wants to hear: systemd with `Type=notify`. Without one
 * everything here does nothing.
 *
 * Wanted in the unit: `NotifyAccess=all`. With the compiled part beside the program every word comes from the server's own
 * process, and `main` would do; without it `systemd-notify` speaks for it.
 *
 * @see sd_notify(3)
 */
export class ServiceManager {
  readonly #address: string | undefined;
  readonly #watchdogMs: number | undefined;
  readonly #log: Log;
  readonly #sockets = loadSockets();
  /** What was said so far, by the slower way. */
  #said: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;

  constructor({ notifySocket, watchdogMs }: Omit<Told, 'sockets'>, log: Log) {
    this.#address = notifySocket;
    this.#watchdogMs = watchdogMs;
    this.#log = log;
  }

  /** The server accepts. From now on it gives a sign of life twice in the time that the watchdog waits. */
  ready(status: string): void {
    this.#say(['READY=1', `STATUS=${status}`]);
    if (this.#address === undefined || this.#watchdogMs === undefined) return;
    const beat = () => this.#say(['WATCHDOG=1']);
    beat();
    this.#timer ??= setInterval(beat, Math.max(Math.floor(this.#watchdogMs / 2), 1)).unref();
  }

  /** It reads its configuration again; `ready` says when that is done. */
  reloading(): void {
    const now = process.hrtime.bigint() / 1000n;
    this.#say(['RELOADING=1', `MONOTONIC_USEC=${now}`, 'STATUS=reading the configuration']);
  }

  /** It stops, which takes as long as the grace lets transfers go on. */
  stopping(graceMs: number): void {
    clearInterval(this.#timer);
    const longestUs = (graceMs + closingMs) * 1000;
    this.#say(['STOPPING=1', `EXTEND_TIMEOUT_USEC=${longestUs}`, 'STATUS=transfers end']);
  }

  /** Another process serves from now on. */
  replacedBy(pid: number): void {
    clearInterval(this.#timer);
    this.#say([`MAINPID=${pid}`]);
  }

  /** Settles when everything was said. */
  async done(): Promise<void> {
    await this.#said;
  }

  #say(lines: readonly string[]): void {
    const address = this.#address;
    if (address === undefined) return;
    const failed = (fault: string) => this.#log.warn({ fault, lines }, 'service manager not told');
    if (this.#sockets !== undefined) {
      const fault = this.#sockets.notify(address, lines.join('\n'));
      if (fault < 0) failed(getSystemErrorName(fault));
      return;
    }
    this.#said = this.#said
      .then(() => notifyByProgram(address, lines))
      .catch((error: Error) => failed(error.message));
  }
}
