import { closeSync } from 'node:fs';
import type { App } from './app.ts';
import type { Restart } from './core/handover.ts';
import type { PassedSocket } from './doors/listen.ts';
import type { Heir } from './doors/local/heir.ts';
import { UserError } from './model/errors.ts';
import { loadSockets } from './programs/sockets.ts';
import { type Successor, startSuccessor } from './programs/successor.ts';

/** A restart that somebody asked for, and the process that was started for it. */
interface Asked {
  readonly restart: Restart;
  readonly successor: Successor;
  resolve(pid: number): void;
  reject(why: UserError): void;
}

/** A process that wants to serve in this one's place. */
export interface Claim {
  readonly heir: Heir;
  /** Undefined where it came by itself. */
  readonly asked: Asked | undefined;
  /** Lets its connection end. */
  release(): void;
}

/** How long a new process may take until it wants the sockets: it reads its program and its configuration before. */
const arrivalMs = 60_000;

/** Who serves after this process, and when: one at a time. */
export class Succession {
  readonly #environment: Readonly<Record<string, string | undefined>>;
  #asked: Asked | undefined;
  #underWay = false;
  #claimed: (claim: Claim) => void = () => undefined;

  /** @param environment - of a process that is started for a restart */
  constructor(environment: Readonly<Record<string, string | undefined>>) {
    this.#environment = environment;
  }

  /** The next one who wants to serve. */
  claim(): Promise<Claim> {
    this.#underWay = false;
    return new Promise((resolve) => {
      this.#claimed = resolve;
    });
  }

  /** Somebody wants to. @returns when nothing more is to be said to them */
  takeOver(heir: Heir): Promise<void> {
    if (this.#underWay) {
      heir.refuse();
      return Promise.resolve();
    }
    this.#underWay = true;
    const asked = this.#asked?.successor.pid === heir.pid ? this.#asked : undefined;
    return new Promise((release) => this.#claimed({ heir, asked, release }));
  }

  /** Starts a process that serves in place of this one. @returns and throws as `Handover.begin` */
  async begin(restart: Restart): Promise<number> {
    if (this.#asked !== undefined || this.#underWay) {
      throw new UserError('conflict', 'another process is about to serve here already', {
        hint: 'look what became of it: cpm status',
      });
    }
    if (loadSockets() === undefined) {
      throw new UserError(
        'unavailable',
        'sockets change hands only with the compiled part of cpm',
        {
          hint: 'install a C compiler, then cpm again; or stop the server and start it again',
        },
      );
    }
    const successor = startSuccessor(['--takeover'], this.#environment);
    const late = setTimeout(() => {
      if (!this.#underWay) successor.end();
    }, arrivalMs);
    try {
      return await new Promise<number>((resolve, reject) => {
        this.#asked = { restart, successor, resolve, reject };
        // Once it has the sockets, whoever gave them to it notices its end.
        void successor.ended.then((said) => {
          if (!this.#underWay) reject(failed(said));
        });
      });
    } finally {
      clearTimeout(late);
      this.#asked = undefined;
    }
  }
}

/** What another process did not start for. */
export function failed({ message, hint }: { message: string; hint?: string }): UserError {
  const what = `the new server did not start, the old one serves on: ${message}`;
  return new UserError('unavailable', what, hint === undefined ? {} : { hint });
}

/** The listening sockets once more: they stay when the doors close, and nobody who comes meanwhile is refused. */
export function keepSockets(app: App): readonly PassedSocket[] {
  const sockets = loadSockets();
  return app.sockets().flatMap((each) => {
    const fd = sockets?.duplicate(each.fd) ?? -1;
    return fd < 0 ? [] : [{ ...each, fd }];
  });
}

export function closeSockets(sockets: readonly PassedSocket[]): void {
  for (const { fd } of sockets) closeSync(fd);
}
