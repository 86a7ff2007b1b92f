import { mkdtempSync, rmSync } from 'node:fs';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { cpm, machine, started, stopped } from './support/machine.ts';
import { Person } from './support/person.ts';
import { run } from './support/process.ts';
import { serve } from './support/serve.ts';

const ada = await Person.create('ada', mkdtempSync(join(tmpdir(), 'cpm-')), { port: () => 0 });
t.teardown(() => rmSync(ada.home, { recursive: true, force: true }));

/** The ssh client's options to sign in with another key than ada's own. */
function sshWith(identity: string): string[] {
  return ada.sshOptions().map((word) => (word === ada.key.privatePath ? identity : word));
}

t.test('a second server on the same data directory ends with status 5 and the pid', async (t) => {
  const { env } = machine(t);
  const first = serve(t, { env });
  await started(first);

  const second = await serve(t, { env }).ended;

  t.match(second, { status: 5, stdout: '' });
  t.match(second.stderr, new RegExp(`is in use by process ${first.pid}\\n`));
  t.match(await cpm(['whoami'], env), { status: 0 }, 'the first one is well');
  t.match(await stopped(first), { status: 0 });
});

t.test('each listener has its line, IPv6 in brackets, with the real port', async (t) => {
  const { dataDir, env } = machine(t);
  const hasIpv6 = Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === '::1'),
  );
  const places = ['127.0.0.1:0', '127.0.0.2:0', ...(hasIpv6 ? ['[::1]:0'] : [])];
  const args = places.flatMap((place) => ['--listen', place]);

  const serving = serve(t, { env, args });
  await serving.says(/first site admin/);

  const lines = serving.stdout().split('\n').slice(0, places.length);
  for (const [at, place] of places.entries()) {
    const head = `listening on ssh://${place.slice(0, -1)}`;
    const line = lines[at] ?? '';
    t.ok(line.startsWith(head) && /:[1-9]\d{3,4}$/.test(line), line);
    const [host = '', port = ''] = line.slice('listening on ssh://'.length).split(/:(?=\d+$)/);
    const target = ['-p', port, `git@${host.replace(/[[\]]/g, '')}`, 'whoami'];
    const who = await run('ssh', [...sshWith(join(dataDir, 'keys', 'admin_ed25519')), ...target]);
    t.match(who, { status: 0, stdout: /^ada/ }, `${place} answers`);
  }
  await stopped(serving);
});

t.test('an address that the machine lacks is a warning, unless no other is left', async (t) => {
  const { env } = machine(t);
  // Addresses for documentation, RFC 5737; a machine may have one of them all the same.
  const own = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const [one = '', other = ''] = ['192.0.2.1', '198.51.100.1', '203.0.113.1'].filter(
    (wanted) => !own.some(({ address }) => address === wanted),
  );
  const some = serve(t, { env, args: ['--listen', `${one}:0`, '--listen', '127.0.0.1:0'] });
  await started(some);
  t.match(some.stderr(), `warning: can't listen on ${one}:0: EADDRNOTAVAIL\n`);
  t.notMatch(some.stdout(), one);
  await stopped(some);

  const none = await serve(t, { env, args: ['--listen', `${one}:0`, '--listen', `${other}:0`] })
    .ended;

  t.match(none, { status: 6, stdout: '' });
  t.match(none.stderr, `can't listen on ${other}:0`);
});

t.test(
  'a port that somebody else has is told, and the next start is the first again',
  async (t) => {
    const { env } = machine(t);
    const first = serve(t, { env: machine(t).env });
    const { port } = await started(first);

    const second = await serve(t, { env, args: ['--listen', `127.0.0.1:${port}`] }).ended;

    t.match(second, { status: 6, stdout: '' });
    t.match(
      second.stderr,
      `can't listen on 127.0.0.1:${port}: EADDRINUSE\nhint: is another server`,
    );
    t.match(await cpm(['list'], env), { status: 3 }, 'a first start that came to nothing is none');
    const third = serve(t, { env });
    await third.says(/first site admin: ada/);
    await Promise.all([stopped(first), stopped(third)]);
  },
);
