import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { parsePublicKey } from '../../../src/model/sshkey.ts';
import { clientFiles, makeDoor, outcome, ownerOf, pattern, startSsh } from './house.ts';

const ana = generateEd25519('ana@laptop');

t.test(
  'the OpenSSH client runs a command: output, errors, input and exit status arrive',
  async (t) => {
    const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
    const key = clientFiles(t, ana);

    const script = 'sh -c "echo out; echo err >&2; cat; exit 3"';
    const result = await outcome(startSsh(port, key, ['cpm@127.0.0.1', script]), 'input\n');

    t.match(result, { status: 3, stderr: 'err\n' });
    t.equal(result.stdout.toString(), 'out\ninput\n');
  },
);

t.test('cpm and git sign in, nobody else does, and is told so', async (t) => {
  const { port, signedIn } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const key = clientFiles(t, ana);

  t.match(await outcome(startSsh(port, key, ['cpm@127.0.0.1', 'show'])), { status: 0 });
  t.match(await outcome(startSsh(port, key, ['git@127.0.0.1', 'show'])), { status: 0 });
  t.match(await outcome(startSsh(port, key, ['root@127.0.0.1', 'show'], 'INFO')), {
    status: 255,
    stderr: /the user name to sign in with is cpm or git/,
  });
  t.equal(signedIn.length, 2);
});

t.test('a shell without a command is the greeting, with the words of nobody', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);

  const result = await outcome(startSsh(port, clientFiles(t, ana), ['-T', 'cpm@127.0.0.1']));

  t.match(JSON.parse(result.stdout.toString()), { words: [], principal: { name: 'ana' } });
});

t.test('only GIT_PROTOCOL of the environment arrives', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const sent = ['-o', 'SetEnv=GIT_PROTOCOL=version=2 LC_ALL=C LD_PRELOAD=/x'];

  const result = await outcome(
    startSsh(port, clientFiles(t, ana), [...sent, 'cpm@127.0.0.1', "show 'it'\\''s' \"a b\""]),
  );

  t.match(JSON.parse(result.stdout.toString()), {
    words: ['show', "it's", 'a b'],
    gitProtocol: 'version=2',
  });
});

t.test('40 MB go there and back unchanged', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const bytes = pattern(0, 40 * 1024 * 1024);

  const result = await outcome(
    startSsh(port, clientFiles(t, ana), ['cpm@127.0.0.1', 'cat']),
    bytes,
  );

  t.equal(result.status, 0);
  t.ok(result.stdout.equals(bytes), 'the same bytes');
});

t.test('sftp and other subsystems get one sentence and status 2', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const key = clientFiles(t, ana);

  const sftp = await outcome(startSsh(port, key, ['-s', 'cpm@127.0.0.1', 'sftp']));
  const other = await outcome(startSsh(port, key, ['-s', 'cpm@127.0.0.1', 'netconf']));

  t.match(sftp, { status: 2, stderr: /^cpm: sftp and scp are not offered here\nhint: / });
  t.match(other, { status: 2, stderr: /^cpm: subsystems are not offered here\n/ });
});

t.test('forwarding of ports, agent and X11 is refused, the command beside it runs', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const key = clientFiles(t, ana);

  const direct = await outcome(startSsh(port, key, ['-W', '127.0.0.1:1', 'cpm@127.0.0.1']));
  const remote = await outcome(
    startSsh(port, key, ['-R', '0:127.0.0.1:1', '-A', 'cpm@127.0.0.1', 'show'], 'INFO'),
  );

  t.match(direct, { status: 255, stderr: /forwarding/ });
  t.match(remote, { status: 0, stderr: /remote port forwarding failed/ });
});

t.test('words that can not be split are answered with status 2', async (t) => {
  const { port, requests } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const key = clientFiles(t, ana);
  const rows: [string, RegExp][] = [
    ['show "open', /^cpm: the command has an open quote/],
    ['show \u001b[31m', /^cpm: the command has a control character in it \(0x1b\)/],
    ['show\nlist', /^cpm: the command has more than one line/],
    [`show ${'x'.repeat(100_000)}`, /^cpm: the command is too long/],
  ];

  for (const [line, stderr] of rows) {
    const result = await outcome(startSsh(port, key, ['cpm@127.0.0.1', line]));
    t.match(result, { status: 2, stderr }, JSON.stringify(line.slice(0, 20)));
  }
  t.same(requests, [], 'nothing was carried out');
});

t.test('a terminal is noted: its width, and line breaks that return to the start', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const key = clientFiles(t, ana);

  const shown = await outcome(startSsh(port, key, ['-tt', 'cpm@127.0.0.1', 'show']));
  const lines = await outcome(startSsh(port, key, ['-tt', 'cpm@127.0.0.1', 'printf "a\\nb\\n"']));

  t.match(JSON.parse(shown.stdout.toString()), { terminal: { columns: 80, colour: true } });
  t.equal(lines.stdout.toString(), 'a\r\nb\r\n');
});

t.test('a question on a terminal is answered with what was typed, which is shown', async (t) => {
  const { port } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const client = startSsh(port, clientFiles(t, ana), ['-tt', 'cpm@127.0.0.1', 'ask']);

  const result = await outcome(client, 'yx\u007fes\r');

  t.equal(result.stdout.toString(), 'sure? yx\b \bes\r\ngot "yes\\n"\r\n');
});

t.test('a typed control-C ends the request with status 130', async (t) => {
  const { port, events } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
  const client = startSsh(port, clientFiles(t, ana), ['-tt', 'cpm@127.0.0.1', 'deaf']);
  events.once('began', () => client.stdin?.write('\u0003'));

  const result = await outcome(client, 'abc', 'open');

  t.equal(result.status, 130);
  t.equal(result.stdout.toString(), 'abc^C\r\n');
});

t.test('ed25519, ecdsa and RSA keys sign in with OpenSSH', async (t) => {
  const dir = t.testdir({});
  for (const [type, bits] of [
    ['ecdsa', '256'],
    ['ecdsa', '384'],
    ['ecdsa', '521'],
    ['rsa', '2048'],
    ['ed25519', '256'],
  ] as const) {
    const file = join(dir, `${type}${bits}`);
    spawnSync('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-f', file]);
    const key = parsePublicKey(readFileSync(`${file}.pub`, 'utf8'));
    const { port } = await makeDoor(t, [ownerOf(key, 'ana')]);

    t.match(await outcome(startSsh(port, file, ['cpm@127.0.0.1', 'show'])), { status: 0 }, file);
  }
});

t.test(
  'one connection serves several commands at once (ControlMaster), each with its own end',
  async (t) => {
    const { port, door, signedIn } = await makeDoor(t, [ownerOf(ana.publicKey, 'ana')]);
    const key = clientFiles(t, ana);
    // The path of a Unix socket has at most 108 bytes: the folder of a test may have more.
    const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
    t.teardown(() => rmSync(folder, { recursive: true }));
    const shared = ['-o', `ControlPath=${join(folder, 's')}`];
    const master = startSsh(port, key, [...shared, '-M', 'cpm@127.0.0.1', 'sh -c "echo up; cat"']);
    await once(master.stdout ?? master, 'data');
    const bytes = pattern(0, 3 * 1024 * 1024);

    const results = await Promise.all(
      [1, 2, 3, 4].map((status) =>
        outcome(
          startSsh(port, key, [...shared, 'cpm@127.0.0.1', `sh -c "cat; exit ${status}"`]),
          bytes,
        ),
      ),
    );

    t.same(
      results.map(({ status }) => status),
      [1, 2, 3, 4],
    );
    t.ok(
      results.every(({ stdout }) => stdout.equals(bytes)),
      'the same bytes on all of them',
    );
    t.equal(door.counts().connections, 1);
    t.equal(signedIn.length, 1);
    t.match(await outcome(master, 'last\n'), { status: 0, stderr: '' });
  },
);
