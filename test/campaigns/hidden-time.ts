import type { Test } from 'tap';
import { openCore } from '../../src/core/core.ts';
import { createRun } from '../../src/shell/run.ts';
import { raise } from '../rights/cast.ts';
import { InProcess, makeProps } from '../rights/in-process.ts';
import { memoryFolder } from '../support/memory-folder.ts';

/** How far the medians may lie apart, of the longer one. */
const tolerance = 0.1;

/** What is hidden is answered in the time that what is missing takes, so that the time does not tell of it. */
export async function sameTime(t: Test, { rounds }: { rounds: number }): Promise<void> {
  const folder = memoryFolder(t);
  const stage = await InProcess.open(folder, await makeProps(folder), { openCore, createRun });
  t.teardown(() => stage.close());
  await raise(stage);
  const questions = {
    show: (repo: string) => stage.ask('st', ['show', repo]),
    'git clone': (repo: string) => stage.git('st', 'clone', repo),
    'git push': (repo: string) => stage.git('st', 'push', repo, 'topic'),
  };
  for (const [name, ask] of Object.entries(questions)) {
    const times = { hidden: [] as number[], missing: [] as number[] };
    for (let nth = 0; nth < rounds; nth += 1) {
      times.hidden.push(await timed(() => ask('un/private')));
      times.missing.push(await timed(() => ask('un/missing')));
    }
    const [hidden, missing] = [median(times.hidden), median(times.missing)];
    const said = `${name}: hidden ${hidden.toFixed(3)} ms, missing ${missing.toFixed(3)} ms, medians of ${rounds}`;
    t.ok(Math.abs(hidden - missing) <= tolerance * Math.max(hidden, missing), said);
  }
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}
