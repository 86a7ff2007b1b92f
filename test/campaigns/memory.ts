import { randomFillSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Test } from 'tap';
import { House } from '../support/house.ts';
import type { Person } from '../support/person.ts';
import { must } from '../support/process.ts';

const mebibyte = 1024 * 1024;
/** Small enough for so many objects that the server keeps the pack as it came. */
const fileBytes = mebibyte / 4;
const sampleMs = 20;

/** No compression and no deltas: bytes that nothing can make smaller are only copied. */
const plain = ['-c', 'core.compression=0', '-c', 'pack.window=0', '-c', 'pack.threads=1'];

/** What a server's memory did while a transfer ran, in MB. */
interface Growth {
  readonly before: number;
  readonly highest: number;
  readonly samples: number;
}

/**
 * Pushes and clones repositories of random bytes and watches the server's resident memory meanwhile: it may grow by
 * 40 MB at the most, and by no more for a large one than for a small one. Each transfer has a server of its own, so
 * that one does not use what another left.
 *
 * @param sizes - in MB, the smallest first
 */
export async function memory(t: Test, sizes: readonly number[]): Promise<void> {
  const house = await House.open(t);
  const grown = { push: [] as number[], clone: [] as number[] };
  for (const size of sizes) {
    const place = await generate(house.admin, `mb-${size}`, size);
    for (const what of ['push', 'clone'] as const) {
      await house.restart();
      await warm(house);
      const { before, highest, samples } = await watched(house.pid, () => place[what]());
      const growth = highest - before;
      const text = `${what} of ${size} MB: ${before.toFixed(1)} MB before`;
      t.comment(`${text}, +${growth.toFixed(1)} at the most, ${samples} samples`);
      t.ok(growth <= 40, `${what} of ${size} MB grows the server by 40 MB at the most`);
      t.ok(samples > 10, 'and was watched');
      grown[what].push(growth);
    }
    await whole(t, house, `mb-${size}`);
  }
  for (const [what, growths] of Object.entries(grown)) {
    const apart = Math.max(...growths) - Math.min(...growths);
    t.ok(apart <= 10, `each ${what} grows it alike: ${apart.toFixed(1)} MB apart`);
  }
}

/** What the first transfer of a process loads and compiles is no growth by what is transferred. */
async function warm(house: House): Promise<void> {
  const { push, clone } = await generate(house.admin, `warm-${house.pid}`, 1);
  await push();
  await clone();
}

/** The same tip everywhere, and every byte what its name says. */
async function whole(t: Test, house: House, name: string): Promise<void> {
  const { home } = house.admin;
  const there = join(house.dataDir, `repositories/ada/${name}.git`);
  const places = [join(home, name), there, join(home, `${name}.git`)];
  const tips = await Promise.all(
    places.map((cwd) => must('git', ['rev-parse', 'refs/heads/main'], at(house.admin, cwd))),
  );
  const oids = new Set(tips.map(({ stdout }) => stdout));
  t.equal(oids.size, 1, `${name}: one tip in the work tree, on the server and in the clone`);
  for (const cwd of places.slice(1)) {
    const fsck = await must('git', ['fsck', '--full', '--strict'], at(house.admin, cwd));
    t.equal(fsck.stdout + fsck.stderr, '', `${name}: every byte is what its name says`);
  }
}

const at = (person: Person, cwd: string) => ({ cwd, env: person.gitEnv() });

/** Makes a repository of random bytes. @returns its push, and its clone to a bare copy */
async function generate(person: Person, name: string, size: number) {
  const work = await person.worktree(name);
  const bytes = Buffer.alloc(Math.min(fileBytes, size * mebibyte));
  for (let n = 0; n * fileBytes < size * mebibyte; n++) {
    writeFileSync(join(work, `random-${n}`), randomFillSync(bytes));
  }
  await must('git', [...plain, 'add', '.'], at(person, work));
  await must('git', [...plain, 'commit', '-q', '-m', `${size} MB`], at(person, work));
  const url = person.url(name);
  const copy = join(person.home, `${name}.git`);
  return {
    push: () => must('git', [...plain, 'push', '-q', url, 'main'], at(person, work)),
    clone: () => must('git', ['clone', '-q', '--mirror', url, copy], at(person, person.home)),
  };
}

/** Looks at a process's memory again and again while something runs. */
async function watched(pid: number, work: () => Promise<unknown>): Promise<Growth> {
  const before = residentMb(pid);
  let highest = before;
  let samples = 0;
  const timer = setInterval(() => {
    highest = Math.max(highest, residentMb(pid));
    samples += 1;
  }, sampleMs);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return { before, highest, samples };
}

function residentMb(pid: number): number {
  const [, kilobytes] =
    /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
