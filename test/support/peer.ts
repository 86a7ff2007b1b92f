import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { House } from './house.ts';
import { type Answer, cleanEnv, run, type Surroundings } from './process.ts';

/** One server's key, in the hands of somebody who says with it whatever he wants. */
export class Peer {
  readonly #to: House;
  readonly #options: readonly string[];

  /** @param from - whose key it is. @param to - who is talked to */
  constructor(from: House, to: House) {
    this.#to = to;
    const set = ['BatchMode=yes', 'IdentitiesOnly=yes', 'IdentityAgent=none', 'LogLevel=ERROR'];
    const hosts = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null'];
    const key = join(from.dataDir, 'keys', 'server_ed25519');
    this.#options = [
      '-F',
      'none',
      '-i',
      key,
      ...[...set, ...hosts].flatMap((each) => ['-o', each]),
    ];
  }

  /** The ssh client's words, as one string for those that start it themselves. */
  get ssh(): string {
    return ['ssh', ...this.#options, '-p', String(this.#to.port)].join(' ');
  }

  #words(command: string): string[] {
    return [...this.#options, '-p', String(this.#to.port), 'cpm@127.0.0.1', command];
  }

  /** Runs one command to its end. */
  exec(command: string, surroundings: Surroundings = {}): Promise<Answer> {
    return run('ssh', this.#words(command), surroundings);
  }

  /** Asks one question after the other on one connection. @param lines - as they are sent. @returns the answers */
  async converse(
    work: (ask: (line: string | object) => Promise<Record<string, unknown>>) => Promise<void>,
  ): Promise<void> {
    const child = spawn('ssh', this.#words('cpm-sync'), {
      env: cleanEnv(),
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const closed = once(child, 'close');
    child.stdin.on('error', () => undefined);
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    try {
      await work(async (line) => {
        child.stdin.write(`${typeof line === 'string' ? line : JSON.stringify(line)}\n`);
        const { value, done } = await lines.next();
        if (done === true) throw new Error('the conversation was ended');
        return JSON.parse(value);
      });
    } finally {
      child.stdin.end();
      await closed;
    }
  }
}
