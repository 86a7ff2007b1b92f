import { EventEmitter, once } from 'node:events';
import t, { type Test } from 'tap';
import { Clock } from '../../src/doors/clock.ts';
import type { Job, Words } from '../../src/doors/jobs.ts';
import { createLog } from '../../src/log.ts';

const log = createLog('silent');
const never = () => 3_600_000;

/** A clock whose requests begin, and end when they are told to. */
function clockOf(t: Test, jobs: readonly Job[]) {
  const desk = new EventEmitter();
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const clock = new Clock(
    jobs,
    async ({ words, signal }) => {
      const text = words.join(' ');
      begun.push(text);
      desk.emit('begun', text);
      await new Promise<void>((resolve) => {
        ends.set(text, resolve);
        signal.addEventListener('abort', () => resolve());
      });
      return 0;
    },
    log,
  );
  // The clock's own timers keep no process alive.
  const alive = setInterval(() => {}, never());
  t.teardown(() => clearInterval(alive));
  t.teardown(() => clock.stop());
  clock.start();
  return {
    begun,
    clock,
    end: (text: string) => ends.get(text)?.(),
    next: () => once(desk, 'begun'),
  };
}

/** A job that is looked at when a test says so. */
function told(name: string, more: Partial<Job> = {}) {
  let look = () => {};
  let words: readonly Words[] = [];
  const job: Job = {
    name,
    everyMs: never,
    onNews: (listener) => {
      look = listener;
      return () => {
        look = () => {};
      };
    },
    due: async () => words,
    ...more,
  };
  const news = (...due: string[]) => {
    words = due.map((each) => each.split(' '));
    look();
  };
  return { job, news };
}

t.test('a job that takes long keeps no other from its hour', async (t) => {
  const [slow, quick] = [told('slow'), told('quick')];
  const { begun, next } = clockOf(t, [slow.job, quick.job]);
  const first = next();
  slow.news('slow 1');
  await first;

  const second = next();
  quick.news('quick 1');
  await second;

  t.same(begun, ['slow 1', 'quick 1']);
});

t.test('requests of a job run one after the other, or as many at once as it says', async (t) => {
  const [one, two] = [told('one'), told('two', { atOnce: () => 2 })];
  const { begun, end, next } = clockOf(t, [one.job, two.job]);
  let begins = next();
  one.news('a', 'b');
  await begins;
  t.same(begun, ['a'], 'b waits');
  begins = next();
  end('a');
  await begins;
  t.same(begun, ['a', 'b']);

  begins = next();
  two.news('c', 'd', 'e');
  await begins;
  t.same(begun, ['a', 'b', 'c', 'd'], 'e waits');
  begins = next();
  end('d');
  await begins;
  t.same(begun, ['a', 'b', 'c', 'd', 'e']);
});

t.test('what runs already and is due again runs once more afterwards', async (t) => {
  const { job, news } = told('one');
  const { begun, end, next } = clockOf(t, [job]);
  let begins = next();
  news('a');
  await begins;
  begins = next();
  news('a');
  end('a');
  await begins;

  t.same(begun, ['a', 'a']);
});

t.test('a job is looked at by its interval, and at the start where it says so', async (t) => {
  const due = async () => [['now']];
  const { begun, next } = clockOf(t, [{ name: 'start', everyMs: never, atStart: true, due }]);
  await next();
  t.same(begun, ['now']);

  const later = clockOf(t, [{ name: 'often', everyMs: () => 5, due }]);
  await later.next();
  t.same(later.begun, ['now']);
});

t.test('one that cannot tell what is due is asked again', async (t) => {
  let asked = 0;
  const due = async () => {
    asked += 1;
    if (asked === 1) throw new Error('not now');
    return [['then']];
  };
  const { begun, next } = clockOf(t, [{ name: 'shaky', everyMs: () => 5, due }]);
  await next();
  t.same(begun, ['then']);
});

t.test('a clock that stops ends what runs and begins nothing more', async (t) => {
  const { job, news } = told('one');
  const { begun, clock, next } = clockOf(t, [job]);
  const begins = next();
  news('a', 'b');
  await begins;

  await clock.stop();

  news('c');
  t.same(begun, ['a']);
});
