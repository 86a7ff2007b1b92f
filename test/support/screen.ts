import { type IPty, spawn } from 'node-pty';
import { cleanEnv } from './process.ts';

/** A program on a real terminal. */
export class Screen {
  shown = '';
  readonly #pty: IPty;
  readonly #ended: Promise<number>;
  #look: () => void = () => undefined;

  constructor(
    [program, ...args]: readonly [string, ...string[]],
    { cwd, env }: { cwd: string; env: Readonly<Record<string, string>> },
  ) {
    this.#pty = spawn(program, args, {
      cols: 120,
      cwd,
      env: cleanEnv(env),
      name: env['TERM'] ?? 'xterm-256color',
    });
    this.#pty.onData((text) => {
      this.shown += text;
      this.#look();
    });
    this.#ended = new Promise((resolve) => this.#pty.onExit(({ exitCode }) => resolve(exitCode)));
  }

  /** Waits until something stands on the screen. @throws when the program ends without it */
  async until(pattern: RegExp): Promise<void> {
    const seen = new Promise<'seen'>((resolve) => {
      this.#look = () => {
        if (pattern.test(this.shown)) resolve('seen');
      };
      this.#look();
    });
    if ((await Promise.race([seen, this.#ended])) !== 'seen' && !pattern.test(this.shown)) {
      throw new Error(`${pattern} never showed:\n${this.shown}`);
    }
  }

  type(text: string): void {
    this.#pty.write(text);
  }

  /** The exit status, and all that was shown, as lines. */
  async end(): Promise<{ status: number; lines: string[] }> {
    const status = await this.#ended;
    return { status, lines: this.shown.split('\r\n') };
  }
}
