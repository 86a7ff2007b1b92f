import { escapeControls } from '../model/repo.ts';
import { sizeText } from '../model/units.ts';
import type { Progress } from '../programs/watched.ts';

const beginsAfterMs = 1000;
const everyMs = 200;
const barWidth = 20;

/** A line on a terminal that tells how far something long is; whatever is done within a second shows none. */
export class ProgressLine {
  readonly #write: (text: string) => void;
  readonly #columns: number;
  readonly #now: () => number;
  readonly #begunMs: number;
  #stage = '';
  #stageMs = 0;
  #shownMs = 0;

  /** @param now - milliseconds that only grow */
  constructor(write: (text: string) => void, columns: number, now = () => performance.now()) {
    this.#write = write;
    this.#columns = columns;
    this.#now = now;
    this.#begunMs = now();
  }

  show(progress: Progress): void {
    const nowMs = this.#now();
    if (progress.what !== this.#stage) {
      this.#stage = progress.what;
      this.#stageMs = nowMs;
    }
    if (nowMs - this.#begunMs < beginsAfterMs || nowMs - this.#shownMs < everyMs) return;
    this.#shownMs = nowMs;
    const text = progressText(progress, (nowMs - this.#stageMs) / 1000);
    this.#write(`\r${text.slice(0, Math.max(this.#columns - 1, 10))}\x1b[K`);
  }

  /** Takes the line away again. */
  end(): void {
    if (this.#shownMs > 0) this.#write('\r\x1b[K');
  }
}

/** One stage of something long, as people read it. @param seconds - since the stage began */
export function progressText({ what, done, total }: Progress, seconds: number): string {
  const name = escapeControls(what);
  const rate = seconds > 0 ? done / seconds : 0;
  if (total === 0) return `${name} ${sizeText(done)}, ${sizeText(Math.round(rate))}/s`;
  const part = Math.min(done / total, 1);
  const bar = '#'.repeat(Math.floor(part * barWidth)).padEnd(barWidth, '.');
  const left = rate > 0 ? `, ${Math.ceil(Math.max(total - done, 0) / rate)} s left` : '';
  return `${name} [${bar}] ${Math.floor(part * 100)}% ${done}/${total}, ${Math.round(rate)}/s${left}`;
}
