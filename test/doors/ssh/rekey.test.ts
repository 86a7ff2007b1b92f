import { once } from 'node:events';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { writeTo } from '../../../src/transfer/client.ts';
import { clientFiles, makeDoor, outcome, ownerOf, pattern, startSsh } from './house.ts';
import { RawClient } from './raw-client.ts';

const ana = generateEd25519('ana');
const anaKey = { privateKey: ana.privateKey, blob: ana.publicKey.blob };
const owners = [ownerOf(ana.publicKey, 'ana')];
const megabyte = 1024 * 1024;

t.test(
  'pitfall 10, rekey: exchanges that the client begins leave every byte in place',
  async (t) => {
    const { port } = await makeDoor(t, owners);
    const bytes = pattern(0, 20 * megabyte);
    for (const cipher of [
      'aes128-gcm@openssh.com',
      'chacha20-poly1305@openssh.com',
      'aes128-ctr',
    ]) {
      const args = ['-c', cipher, '-o', 'RekeyLimit=2M', 'cpm@127.0.0.1', 'cat'];

      const result = await outcome(startSsh(port, clientFiles(t, ana), args), bytes);

      t.equal(result.status, 0, cipher);
      t.ok(result.stdout.equals(bytes), 'the same bytes');
    }
  },
);

t.test(
  'pitfall 10, rekey: output waits for the end of an exchange, in bounded memory',
  async (t) => {
    let written = 0;
    const { port, events } = await makeDoor(t, owners, {
      run: async ({ stdio, signal }) => {
        await once(events, 'go');
        while (!signal.aborted && written < 32 * megabyte) {
          written += 65_536;
          await writeTo(stdio.stdout, Buffer.alloc(65_536), signal);
        }
        events.emit('ended');
        return 0;
      },
      limits: { loginGraceMs: 1500 },
    });
    const client = await new RawClient(port).signIn(anaKey);
    const channel = await client.open(0, 0x7fff_ffff);
    client.request(channel, 'exec', 'x');
    await client.next(99);
    const ended = once(events, 'ended');
    const { _decipher: decipher } = client.protocol;
    if (decipher === undefined) throw new Error('no keys');

    // A key exchange that the client begins and never goes on with.
    client.protocol.rekey();
    decipher._onPayload = (payload) => {
      if (payload[0] === 20) events.emit('go');
    };
    await once(client.socket, 'close');
    await ended;

    t.ok(written > 0 && written < megabyte, `${written} bytes were taken`);
  },
);

t.test('pitfall 10, rekey: too many for too little are refused', async (t) => {
  const { port } = await makeDoor(t, owners);
  const client = await new RawClient(port).signIn(anaKey);
  let exchanges = 0;
  const again = (): void => {
    exchanges += 1;
    if (exchanges < 100 && !client.closed) client.protocol.rekey();
  };
  client.onReady = again;

  client.protocol.rekey();

  t.match(await client.end(), /too many key exchanges/);
  t.ok(exchanges <= 12, `${exchanges} were done`);
});

t.test('the server begins an exchange after its share of bytes, and no byte is lost', async (t) => {
  const { port } = await makeDoor(t, owners, { rekeyBytes: 4 * megabyte });
  const bytes = pattern(0, 24 * megabyte);

  const ssh = startSsh(port, clientFiles(t, ana), ['-v', 'cpm@127.0.0.1', 'cat'], 'DEBUG1');
  const result = await outcome(ssh, bytes);

  t.ok(result.stdout.equals(bytes), 'the same bytes');
  const exchanges = result.stderr.match(/SSH2_MSG_NEWKEYS received/g)?.length ?? 0;
  t.ok(exchanges > 5, `${exchanges} exchanges`);
});
