import t from 'tap';
import { Locks } from '../../src/core/locks.ts';
import { UserError } from '../../src/model/errors.ts';

const never = new AbortController().signal;
/** All that can run now has run. */
const quiet = () => new Promise<void>((resolve) => setImmediate(resolve));

/** Notes when each taker got its lock. */
function journal() {
  const got: string[] = [];
  const note = (name: string, taken: Promise<() => void>) =>
    taken.then((release) => {
      got.push(name);
      return release;
    });
  return { got, note };
}

t.test('S11 transfers share a repository, a change has it alone', async (t) => {
  const locks = new Locks();
  const { got, note } = journal();
  const first = await note('clone', locks.shared('a', never));
  const second = await note('push', locks.shared('a', never));
  const change = note('change', locks.exclusive('a', 'acme/app'));
  await quiet();
  t.same(got, ['clone', 'push'], 'the change waits');

  first();
  await quiet();
  t.same(got, ['clone', 'push'], 'for both');
  second();

  const release = await change;
  const late = note('late clone', locks.shared('a', never));
  await quiet();
  t.same(got, ['clone', 'push', 'change'], 'and nobody gets in while it runs');
  release();
  await late;
});

t.test(
  'first come, first served: a change that waits is not passed by those who come later',
  async (t) => {
    const locks = new Locks();
    const { got, note } = journal();
    const holder = await note('holder', locks.shared('a', never));
    const change = note('change', locks.exclusive('a', 'acme/app'));
    const later = [1, 2, 3].map((n) => note(`later ${n}`, locks.shared('a', never)));
    await quiet();
    t.same(got, ['holder']);

    holder();

    (await change)();
    await Promise.all(later);
    t.same(got, ['holder', 'change', 'later 1', 'later 2', 'later 3']);
  },
);

t.test('one repository’s lock is no business of another’s', async (t) => {
  const locks = new Locks();
  await locks.exclusive('a', 'acme/app');

  const release = await locks.shared('b', never);

  t.type(release, 'function');
});

t.test('a change that waits too long is told so, and those behind it go on', async (t) => {
  // The timer of a wait keeps no process alive; a server has its sockets for that.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(alive));
  const locks = new Locks();
  const holder = await locks.shared('a', never);
  const change = locks.exclusive('a', 'acme/app', 20);
  const behind = locks.shared('a', never);

  await t.rejects(change, { code: 'unavailable', message: /acme\/app: in use .* 0.02 s/ });

  (await behind)();
  holder();
  (await locks.exclusive('a', 'acme/app', 20))();
});

t.test('who is gone while it waits gets no lock and keeps nobody from one', async (t) => {
  const locks = new Locks();
  const holder = await locks.exclusive('a', 'acme/app');
  const gone = new AbortController();
  const ended = new AbortController();
  const waiting = locks.shared('a', gone.signal);
  const refused = locks.alone('a', ended.signal);
  const patient = locks.shared('a', never);

  gone.abort(new Error('the client is gone'));
  ended.abort(new UserError('denied', 'the key was revoked'));

  await t.rejects(waiting, { code: 'unavailable', message: /went away/ });
  await t.rejects(refused, { code: 'denied', message: 'the key was revoked' });
  await t.rejects(locks.shared('a', gone.signal), { code: 'unavailable' }, 'nor afterwards');
  holder();
  (await patient)();
  const release = locks.tryExclusive('a');
  t.ok(release, 'nothing is held any more');
});

t.test('an abort after the lock was got changes nothing', async (t) => {
  const locks = new Locks();
  const gone = new AbortController();
  const release = await locks.shared('a', gone.signal);

  gone.abort();

  t.equal(locks.tryExclusive('a'), undefined, 'it is held');
  release();
  t.ok(locks.tryExclusive('a'));
});

t.test('who wants it when it is free lets everybody else go first', async (t) => {
  const locks = new Locks();
  const order: string[] = [];
  const noted = (what: string) => (release: () => void) => {
    order.push(what);
    return release;
  };
  const reader = await locks.shared('a', never);
  const modest = locks.whenFree('a', never).then(noted('modest'));
  const gone = new AbortController();
  const refused = locks.whenFree('a', gone.signal);
  const second = await locks.shared('a', never).then(noted('reader behind it'));
  const change = locks.alone('a', never).then(noted('change behind it'));

  gone.abort(new UserError('unavailable', 'no time'));
  await t.rejects(refused, { message: 'no time' });
  reader();
  second();
  (await change)();
  const release = await modest;

  t.same(order, ['reader behind it', 'change behind it', 'modest']);
  t.equal(locks.tryExclusive('a'), undefined, 'it is held');
  t.equal(locks.waiting, 0);
  release();
  (await locks.shared('a', never))();
});

t.test('a lock is let go of once, however often that is said', async (t) => {
  const locks = new Locks();
  const first = await locks.shared('a', never);
  const second = await locks.shared('a', never);

  first();
  first();

  t.equal(locks.tryExclusive('a'), undefined, 'the second still holds it');
  second();
  const alone = locks.tryExclusive('a');
  t.ok(alone);
  t.equal(locks.tryExclusive('a'), undefined);
});

t.test('who only tries gets a lock that nobody holds and nobody waits for', async (t) => {
  const locks = new Locks();
  const holder = await locks.shared('a', never);
  const waiting = locks.exclusive('a', 'acme/app');
  t.equal(locks.tryExclusive('a'), undefined);

  holder();
  (await waiting)();

  const release = locks.tryExclusive('a');
  t.ok(release);
  release?.();
});

t.test(
  'S11 a change that can not have its way lets readers pass, and has its way later',
  async (t) => {
    const alive = setInterval(() => undefined, 1000);
    t.teardown(() => clearInterval(alive));
    const locks = new Locks();
    const { got, note } = journal();
    const clone = await note('long clone', locks.shared('a', never));
    const begun = performance.now();
    const change = note('change', locks.exclusive('a', 'acme/app'));
    const other = note('other change', locks.exclusive('a', 'acme/app'));

    const fetch = await note('fetch', locks.shared('a', never));

    const held = performance.now() - begun;
    t.ok(held > 1000 && held < 4000, `a reader was held up for ${Math.round(held)} ms`);
    t.strictSame(got, ['long clone', 'fetch']);
    const late = note('late', locks.shared('a', never));
    fetch();
    clone();
    (await change)();
    (await other)();
    (await late)();
    t.strictSame(got, ['long clone', 'fetch', 'change', 'other change', 'late']);
    t.ok(locks.tryExclusive('a'));
  },
);
