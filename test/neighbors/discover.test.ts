import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { startClient } from '../support/client.ts';
import { makeMachines, noNetworks } from '../support/networks.ts';
import { cleanEnv, must, run } from '../support/process.ts';
import { findProgram } from '../support/program.ts';
import { Screen } from '../support/screen.ts';
import { type Serving, serve } from '../support/serve.ts';

const port = 9418;
const skip = (await noNetworks()) ?? false;
const folder = mkdtempSync(join(tmpdir(), 'cpm-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

const apart = {
  docker0: '10.77.16.1/24',
  wg0: '10.77.17.1/24',
  eth8: '10.77.18.0/31',
  eth9: '10.128.0.1/12',
};

interface Found {
  address: string;
  name: string;
  fingerprint: string;
  registered: boolean;
}

t.test(
  'among twelve hosts on two networks exactly the cpm servers are found',
  { skip },
  async (t) => {
    const machines = await makeMachines(t, {
      seeker: { 1: '10.77.1.1/26', 2: '10.77.2.1/28' },
      alpha: { 1: '10.77.1.10/26' },
      beta: { 1: '10.77.1.11/26' },
      daemon: { 1: '10.77.1.20/26' },
      closed: { 1: '10.77.1.21/26' },
      tarpit: { 1: '10.77.1.22/26' },
      echo: { 1: '10.77.1.23/26' },
      gamma: { 2: '10.77.2.5/28' },
      delta: { 2: '10.77.2.6/28' },
      replay: { 2: '10.77.2.7/28' },
      web: { 2: '10.77.2.8/28' },
      shut: { 2: '10.77.2.9/28' },
    });
    const [, ...exec] = machines.seeker.inside;
    const neighbor = ['ip', 'neigh', 'add', '10.77.1.30', 'lladdr', '02:00:00:00:de:ad', 'nud'];
    await must('ip', [...exec, ...neighbor, 'permanent', 'dev', 'eth1']);
    // A bridge of containers, a tunnel, a cable to one other machine, a network too large to be walked unasked.
    for (const [name, address] of Object.entries(apart)) {
      for (const words of [
        `link add ${name} type veth peer name end-${name}`,
        `addr add ${address} dev ${name}`,
        `link set ${name} up`,
        `link set end-${name} up`,
      ])
        await must('ip', [...exec, 'ip', ...words.split(' ')]);
    }
    mkdirSync(join(folder, 'git'));
    const beside = (inside: readonly string[], words: readonly string[]) =>
      startClient(t, [...inside, ...words] as [string, ...string[]], { env: { HOME: folder } });
    const odd = (name: 'tarpit' | 'echo' | 'web' | 'replay', ...more: string[]) =>
      beside(machines[name].inside, [
        process.execPath,
        join(import.meta.dirname, '../fixtures/odd-host.mjs'),
        ...[name, String(port), ...more],
      ]);
    const daemon = ['git', 'daemon', '--export-all', `--base-path=${folder}/git`, '--reuseaddr'];
    const clients = [
      beside(machines.daemon.inside, [...daemon, '--verbose', `--port=${port}`]),
      odd('tarpit'),
      odd('echo'),
      odd('web'),
    ];
    const servers: Serving[] = [];
    // The last one borrows the name of the first.
    const names = { alpha: 'alpha', beta: 'beta', gamma: 'gamma', delta: 'alpha' } as const;
    for (const [machine, name] of Object.entries(names)) {
      const dataDir = join(folder, machine);
      const env = {
        HOME: folder,
        CPM_DATA_DIR: dataDir,
        CPM_ADMIN: 'ada',
        CPM_NEIGHBORS__LISTEN: `0.0.0.0:${port}`,
        CPM_PUBLIC_URL: `ssh://cpm@${name}.lan:2222`,
      };
      const args = ['--listen', '0.0.0.0:2222'];
      const { inside } = machines[machine as keyof typeof names];
      servers.push(serve(t, { env, args, wrapper: inside }));
    }
    for (const server of servers) await server.says(/listening on git/);
    const replayer = odd('replay', '10.77.2.5');
    await replayer.says('listening');
    for (const each of clients) await each.says(/listening|Ready to rumble/);
    const seeker = join(folder, 'seeker');
    const first = serve(t, {
      env: { HOME: folder, CPM_DATA_DIR: seeker, CPM_ADMIN: 'ada' },
      wrapper: machines.seeker.inside,
    });
    await first.says(/listening on ssh/);
    const cpm = (words: string, env = {}) => {
      const [program = '', ...args] = [...machines.seeker.inside, ...findProgram().command];
      return run(program, [...args, ...words.split(' ')], {
        env: { HOME: folder, CPM_DATA_DIR: seeker, ...env },
      });
    };

    const begun = performance.now();
    const { stdout, stderr, status } = await cpm('neighbors discover --json');
    const seconds = (performance.now() - begun) / 1000;

    t.equal(status, 0, stderr);
    const found = JSON.parse(stdout) as Found[];
    t.strictSame(found.map(({ address, name }) => `${address} ${name}`).sort(), [
      '10.77.1.10 alpha',
      '10.77.1.11 beta',
      '10.77.2.5 gamma',
      '10.77.2.6 alpha',
    ]);
    t.equal(new Set(found.map(({ fingerprint }) => fingerprint)).size, 4);
    t.match(
      stderr,
      /76 addresses: 4 cpm servers, 1 plain git daemons, 1 forged a hello, 3 something else, 4 closed, 63 silent/,
    );
    t.match(stderr, /this server itself is not found/);
    for (const left of [
      '10.77.16.0/24 (docker0): of containers or virtual machines',
      '10.77.17.0/24 (wg0): point-to-point',
      '10.77.18.0/31 (eth8): point-to-point',
      '10.128.0.0/12 (eth9): more than 65536 hosts',
    ])
      t.match(stderr, `left out: ${left}; name it with --network`);
    t.ok(seconds < 9, `${seconds} s for 76 addresses, most of them silent`);

    const added = await cpm('neighbors discover --network 10.77.2.0/28 --add --json --timeout 1s');
    t.ok((JSON.parse(added.stdout) as Found[]).every(({ registered }) => registered));
    const { stdout: listed } = await cpm('neighbors list --json');
    const rows = JSON.parse(listed) as { name: string; state: string; fingerprint: string }[];
    t.equal(rows.length, 2);
    for (const row of rows) {
      const hex = Buffer.from(row.fingerprint.slice(7), 'base64').toString('hex');
      t.match(row, { name: `nb-${hex.slice(0, 12)}`, state: 'unconfirmed' });
    }
    t.match(await cpm('neighbors discover --network 10.77.18.0/31 --timeout 1s --json'), {
      status: 0,
      stdout: '[]\n',
      stderr: /2 addresses: /,
    });
    const [program = '', ...rest] = [...machines.seeker.inside, ...findProgram().command];
    const words = ['neighbors', 'discover', '--host', '10.77.1.10', '--network', '10.128.0.0/16'];
    const child = spawn(program, [...rest, ...words, '--json'], {
      env: cleanEnv({ HOME: folder, CPM_DATA_DIR: seeker }),
    });
    const said = { stdout: '', stderr: '' };
    child.stderr.on('data', (chunk) => {
      said.stderr += chunk;
    });
    child.stdout.once('data', () => child.kill('SIGINT'));
    child.stdout.on('data', (chunk) => {
      said.stdout += chunk;
    });
    t.strictSame(await once(child, 'close'), [130, null], 'interrupted');
    t.match(JSON.parse(said.stdout), [{ address: '10.77.1.10' }], 'it shows what it has');
    t.match(said.stderr, /\d of 65535 addresses: 1 cpm servers/);
    const screen = new Screen([program, ...rest, ...words], {
      cwd: folder,
      env: { HOME: folder, CPM_DATA_DIR: seeker, TERM: 'xterm-256color' },
    });
    await screen.until(/Looking around, 1 found \[[#.]{20}\] \d+% \d+\/65535, \d+\/s, \d+ s left/);
    screen.type('\x03');
    const { status: stopped, lines } = await screen.end();
    t.equal(stopped, 130, 'Ctrl-C on a terminal');
    t.match(
      lines.join('\n'),
      /left.*ADDRESS +NAME +AS +REGISTERED/s,
      'the bar gives way to a table',
    );
    t.match(lines.join('\n'), /^10\.77\.1\.10 +alpha +nb-[0-9a-f]{12} +no /m);
    t.match(lines.join('\n'), /\d+ of 65535 addresses: 1 cpm servers/);
    t.match(await cpm(`servers list --json`), { stdout: '[]\n' }, 'none of them is a server yet');
  },
);
