import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Connection, type Host } from '../../../src/doors/local/connection.ts';
import { frame, readFrames } from '../../../src/doors/local/frames.ts';

t.test('the exit status comes after all that was said, however slowly it is read', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const big = 900_000;
  const run: Host['run'] = async ({ stdio }) => {
    // More than a socket holds: what follows waits, and nobody waits for it.
    stdio.stdout.write(Buffer.alloc(big));
    stdio.stdout.write('the end');
    return 3;
  };
  const host = { run, makeRoom: () => false } as unknown as Host;
  const path = join(folder, 'socket');
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    void new Connection(socket).serve(host);
  });
  t.teardown(() => server.close());
  await once(server.listen(path), 'listening');

  const client = connect({ path, allowHalfOpen: true });
  client.write(frame('request', JSON.stringify({ words: ['x'], directory: '/' })));
  client.write(frame('stdin'));
  const said: Buffer[] = [];
  let status: string | undefined;
  for await (const { kind, payload } of readFrames(client)) {
    if (kind === 'exit') status = String(payload);
    else said.push(Buffer.from(payload));
    if (status !== undefined) break;
  }
  client.destroy();

  const text = Buffer.concat(said).toString();
  t.equal(text.length, big + 'the end'.length);
  t.ok(text.endsWith('the end'));
  t.equal(status, '3');
});
