/** A conversation that may be used again by the next who needs one. */
export interface Conversation {
  /** Whether the other side has ended it, or it broke off. */
  readonly isOver: boolean;
  close(): Promise<void>;
}

interface Idle {
  readonly one: Conversation;
  readonly timer: NodeJS.Timeout;
}

/** A little more than twice the usual interval: an idle round finds the connection of the last one. */
const idleMs = 75_000;

/** Conversations with other servers between two uses: the next question costs no handshake. */
export class Conversations {
  readonly #idle = new Map<string, Idle[]>();
  #closed = false;

  /** @param key - all that makes a conversation the wanted one */
  take(key: string): Conversation | undefined {
    const left = this.#idle.get(key) ?? [];
    for (let idle = left.pop(); idle !== undefined; idle = left.pop()) {
      clearTimeout(idle.timer);
      if (!idle.one.isOver) return idle.one;
      void idle.one.close();
    }
    return undefined;
  }

  /** Keeps one for the next; one that is over, or comes after the end, is closed. */
  async keep(key: string, one: Conversation): Promise<void> {
    if (this.#closed || one.isOver) return one.close();
    const left = this.#idle.get(key) ?? [];
    const timer = setTimeout(() => {
      left.splice(left.indexOf(idle), 1);
      void one.close();
    }, idleMs).unref();
    const idle = { one, timer };
    left.push(idle);
    this.#idle.set(key, left);
  }

  async close(): Promise<void> {
    this.#closed = true;
    const all = [...this.#idle.values()].flat();
    this.#idle.clear();
    for (const { timer } of all) clearTimeout(timer);
    await Promise.all(all.map(({ one }) => one.close()));
  }
}
