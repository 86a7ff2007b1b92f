import { once } from 'node:events';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { clientFiles, makeDoor, ownerOf, startSsh } from './house.ts';
import { message, RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana')];

function alive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 20));
}
t.test("half-close: after the end of a client's input the answer still comes", async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0);
  const end = client.collect();
  client.request(channel, 'exec', 'sh -c "cat; sleep 0.3; echo after"');
  client.send(message(94, channel, 'before\n'));
  client.send(message(96, channel));

  const { stdout, status } = await end;
  client.destroy();

  t.equal(stdout.toString(), 'before\nafter\n');
  t.equal(status, 0);
});

t.test(
  'pitfall 9, writes after the connection died: nobody waits for ever, nothing crashes',
  async (t) => {
    let failed = 0;
    const { port, events, defects } = await makeDoor(t, owners, {
      run: async ({ stdio, signal }) => {
        events.emit('began');
        if (!signal.aborted) await once(signal, 'abort');
        for (const stream of [stdio.stdout, stdio.stderr]) {
          stream.end('last');
          await new Promise<void>((resolve) => {
            stream.write('more', () => {
              failed += 1;
              resolve();
            });
          });
        }
        events.emit('wrote');
        return 0;
      },
    });
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    const began = once(events, 'began');
    client.request(channel, 'exec', 'x');
    await began;
    const wrote = once(events, 'wrote');

    client.destroy();
    await wrote;

    t.equal(failed, 2);
    t.same(defects, []);
  },
);

t.test('a write that waits for window is called back when the client goes', async (t) => {
  const { port, events } = await makeDoor(t, owners, {
    run: async ({ stdio }) => {
      events.emit('began');
      await new Promise<void>((resolve) =>
        stdio.stdout.write(Buffer.alloc(100_000), () => resolve()),
      );
      events.emit('called back');
      return 0;
    },
  });
  const client = await new RawClient(port).signIn(anaKey);
  const channel = await client.open(0, 10);
  const called = once(events, 'called back');
  client.request(channel, 'exec', 'x');
  await client.next(94);

  client.destroy();

  await called;
  t.pass('the request could end');
});

t.test(
  'who is refused while sending gets the reason, and the channel is closed after a moment',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    client.send(message(94, channel, Buffer.alloc(30_000)));
    const end = client.collect();

    client.request(channel, 'exec', 'refuse');
    const { stderr, status, order } = await end;
    client.destroy();

    t.equal(stderr, 'refused\n');
    t.equal(status, 4);
    t.same(order, ['success', 'exit-status', 'eof', 'close']);
  },
);

t.test('a signal of the client ends the request, with the status of that signal', async (t) => {
  const { port, events } = await makeDoor(t, owners);
  for (const [name, expected] of [
    ['INT', 130],
    ['TERM', 143],
  ] as const) {
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0);
    const end = client.collect();
    const began = once(events, 'began');
    client.request(channel, 'exec', 'sleep 60');
    await began;

    client.request(channel, 'signal', name);
    const { status } = await end;
    client.destroy();

    t.equal(status, expected, name);
  }
});

t.test('pitfall 18, orphans: a client killed outright leaves no process', async (t) => {
  const { port } = await makeDoor(t, owners);
  const ssh = startSsh(port, clientFiles(t, ana), [
    'cpm@127.0.0.1',
    'sh -c "echo $$; exec sleep 61"',
  ]);
  const [line] = (await once(ssh.stdout ?? ssh, 'data')) as [Buffer];
  const pid = Number(line.toString());

  ssh.kill('SIGKILL');

  await until(() => !alive(pid));
  t.pass('it is gone');
});
