import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { generateEd25519 } from '../../../src/model/ed25519.ts';
import { loader } from '../../support/program.ts';
import { clientFiles, sshOptions } from './house.ts';

// As `npm start` has them.
const flags = ['--max-semi-space-size=1', '--v8-pool-size=0', '--optimize-for-size'];

t.test('bytes that have passed leave nothing behind: 200 MB each way, twice', async (t) => {
  const file = fileURLToPath(new URL('lone-door.ts', import.meta.url));
  const env = { ...process.env, MALLOC_ARENA_MAX: '1' };
  const stdio = ['pipe', 'pipe', 'inherit'] as const;
  const door = spawn(process.execPath, [...flags, '--import', loader, file], {
    env,
    stdio: [...stdio],
  });
  t.teardown(() => door.stdin?.end());
  const [line] = await once(door.stdout ?? door, 'data');
  const client = [
    ...sshOptions,
    '-i',
    clientFiles(t, generateEd25519()),
    '-p',
    String(line).trim(),
  ];
  const options = [...client, 'cpm@127.0.0.1'];
  const produce = 'head -c 200000000 /dev/zero';
  const down = ['ssh', '-n', ...options, produce];
  const up = ['sh', '-c', `${produce} | ssh "$@"`, 'sh', ...options, 'sh -c "cat > /dev/null"'];
  t.equal(await run(['ssh', '-n', ...options, 'true']), 0);
  const before = peakMegabytes(door.pid);

  const growth: number[] = [];
  for (const command of [down, up, down, up]) {
    t.equal(await run(command), 0);
    growth.push(peakMegabytes(door.pid) - before);
  }

  t.ok(Math.max(...growth) < 30, `${growth} MB`);
});

async function run([file = '', ...args]: readonly string[]): Promise<unknown> {
  const [status] = await once(spawn(file, args, { stdio: 'ignore' }), 'exit');
  return status;
}

/** The most memory that a process has had at once. */
function peakMegabytes(pid: number | undefined): number {
  const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Math.round(Number(kilobytes) / 1024);
}
