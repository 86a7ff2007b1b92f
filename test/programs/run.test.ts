import { once } from 'node:events';
import t from 'tap';
import { readProcess } from '../../src/programs/processes.ts';
import { collect, keepUnread, send, start } from '../../src/programs/run.ts';

const env = { PATH: '/usr/bin:/bin', GIVEN: 'yes' };
const cwd = '/';

/** Node as a child: its source is the last word. */
const script = (source: string): [string, ...string[]] => [process.execPath, '-e', source];

t.test('a child gets the environment that it is given and nothing of ours', async (t) => {
  process.env['CPM_TEST_SECRET'] = 'x';
  const { stdout, status } = await collect({ argv: ['env'], cwd, env });

  t.equal(status, 0);
  const names = stdout.toString().split('\n');
  t.ok(names.includes('GIVEN=yes'));
  // The test runner adds variables of its own to every child, so the list can't be compared as a whole.
  for (const ours of ['CPM_TEST_SECRET=', 'HOME=', 'USER=', 'SHELL=', 'PWD=']) {
    t.notOk(
      names.some((name) => name.startsWith(ours)),
      ours,
    );
  }
});

t.test('words reach a child as they are: no shell reads them', async (t) => {
  const words = ['$HOME', '`id`', '; rm -rf x', "it's", '*', '', 'a\nb'];
  const { stdout } = await collect({ argv: ['printf', '%s|', ...words], cwd, env });

  t.equal(stdout.toString(), words.map((word) => `${word}|`).join(''));
});

t.test('a status other than zero is an answer, a signal too', async (t) => {
  t.match(await collect({ argv: script('process.exit(3)'), cwd, env }), { status: 3 });
  t.match(await collect({ argv: script('process.kill(process.pid, "SIGKILL")'), cwd, env }), {
    status: undefined,
    signal: 'SIGKILL',
  });
});

t.test('a program that is missing is an error, in a missing directory too', async (t) => {
  t.throws(() => start({ argv: ['no-such-program'], cwd, env }), /no-such-program/);
  t.throws(() => start({ argv: ['env'], cwd: '/no/such/folder', env }), /env/);
});

t.test('what nobody reads is dropped and holds no child up', async (t) => {
  const child = start({ argv: ['head', '-c', '1000000', '/dev/zero'], cwd, env });

  t.match(await child.exited, { status: 0 });
});

t.test('what is kept for its reader is not dropped, also when the child has ended', async (t) => {
  const child = start({ argv: ['head', '-c', '50000', '/dev/zero'], cwd, env });
  keepUnread(child.stdout);
  await child.exited;
  await new Promise((resolve) => setImmediate(resolve));
  let size = 0;
  for await (const chunk of child.stdout) size += chunk.length;

  t.equal(size, 50_000);
});

t.test('a slow reader gets every byte, also long after the child has ended', async (t) => {
  const child = start({ argv: ['head', '-c', '50000', '/dev/zero'], cwd, env });
  const reading = child.stdout[Symbol.asyncIterator]();
  let size = (await reading.next()).value.length;
  await child.exited;
  await new Promise((resolve) => setImmediate(resolve));
  for (let step = await reading.next(); step.done !== true; step = await reading.next()) {
    size += step.value.length;
  }

  t.equal(size, 50000);
});

t.test('a child that stops reading is told by false, not by an error', async (t) => {
  const child = start({ argv: ['true'], cwd, env });
  await child.exited;
  let more = true;
  for (let nth = 0; nth < 100 && more; nth++) more = await send(child, Buffer.alloc(100_000));

  t.equal(more, false);
});

t.test('ending a child ends its whole group, and a second time does nothing', async (t) => {
  const child = start({
    argv: script(`
      const { spawn } = require('node:child_process');
      const inner = spawn('sleep', ['1000']);
      console.log(inner.pid);
      setInterval(() => {}, 1000);
    `),
    cwd,
    env,
  });
  const [line] = await once(child.stdout, 'data');
  const inner = Number(line);
  t.ok(await readProcess(inner));

  child.end();
  child.end();
  t.same(await child.exited, { status: undefined, signal: 'SIGTERM' });

  child.end();
  t.ok(await isGone(inner));
});

t.test('what a child leaves to its own child is waited for where that was asked', async (t) => {
  const heir = `process.on('SIGTERM', () => setTimeout(() => { console.log('kept'); process.exit(); }, 300));
    console.log('up'); setInterval(() => {}, 1000)`;
  const argv = script(`require('node:child_process')
    .spawn(process.execPath, ['-e', ${JSON.stringify(heir)}], { stdio: 'inherit' });
    setInterval(() => {}, 1000)`);
  for (const [hasHeirs, said] of [
    [true, 'up\nkept\n'],
    [false, 'up\n'],
  ] as const) {
    const child = start({ argv, cwd, env, hasHeirs });
    let heard = '';
    child.stdout.on('data', (chunk) => {
      heard += chunk;
    });
    const closed = once(child.stdout, 'close');
    await once(child.stdout, 'data');

    child.end();

    t.match(await child.exited, { signal: 'SIGTERM' });
    await closed;
    t.equal(heard, said);
  }
});

t.test('a child that ignores SIGTERM is killed after five seconds', async (t) => {
  const child = start({
    argv: script(`process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)`),
    cwd,
    env,
  });
  await once(child.stdout, 'data');
  const begun = Date.now();

  child.end();

  t.match(await child.exited, { signal: 'SIGKILL' });
  t.ok(Date.now() - begun >= 4900);
});

t.test('a short command has bounds: of output, of time, of its caller’s patience', async (t) => {
  await t.rejects(
    collect({ argv: ['yes'], cwd, env }, { maxBytes: 1000 }),
    /yes wrote more than 1000 bytes/,
  );
  await t.rejects(
    collect({ argv: ['sleep', '1000'], cwd, env }, { timeoutMs: 50 }),
    /sleep 1000 took longer than 50 ms/,
  );
  const abort = new AbortController();
  const waiting = collect({ argv: ['sleep', '1000'], cwd, env }, { signal: abort.signal });
  abort.abort(new Error('enough'));
  await t.rejects(waiting, /enough/);
  await t.rejects(collect({ argv: ['env'], cwd, env }, { signal: abort.signal }), /enough/);
});

t.test('input goes in whole, as text or bytes', async (t) => {
  const bytes = Buffer.alloc(1_000_000, 7);
  t.ok((await collect({ argv: ['cat'], cwd, env }, { input: bytes })).stdout.equals(bytes));
  t.equal((await collect({ argv: ['cat'], cwd, env }, { input: 'ü' })).stdout.toString(), 'ü');
});

/** A killed process whose new parent has not looked yet is gone, too. */
async function isGone(pid: number): Promise<boolean> {
  for (;;) {
    const found = await readProcess(pid);
    if (found === undefined || found.state === 'Z' || found.state === 'X') return true;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
