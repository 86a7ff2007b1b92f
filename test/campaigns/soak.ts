import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Test } from 'tap';
import { generateEd25519 } from '../../src/model/ed25519.ts';
import { RawClient } from '../doors/ssh/raw-client.ts';
import { House } from '../support/house.ts';
import { asJson } from '../support/keys.ts';
import { exec, signIn } from '../support/raw.ts';
import { quiet } from './inspect.ts';

const atOnce = 20;
const idleMs = 1000;
/** Clock ticks of /proc, of 10 ms each: nobody asks for anything, and timers alone may run. */
const idleTicks = 20;

/** A short visit, by its number. */
type Visit = (house: House, from: string) => Promise<void>;

/** What knocks at a door on the internet, and a few who may come in. */
const visits: readonly Visit[] = [
  // A scanner of ports.
  async ({ port }, from) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    socket.destroy();
    await once(socket, 'close');
  },
  // One that says something else than SSH, and one that leaves within its key exchange.
  async ({ port }, from) => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from });
    socket.on('error', () => undefined);
    socket.resume().end('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await once(socket, 'close');
  },
  async ({ port }, from) => {
    const client = new RawClient(port, { from });
    await once(client.socket, 'data');
    await left(client);
  },
  // One whose key nobody knows.
  async ({ port }, from) => {
    const client = new RawClient(port, { from });
    await client.startService();
    const { blob } = generateEd25519().publicKey;
    client.offer({ blob, algorithm: 'ssh-ed25519' });
    await client.next(51);
    await left(client);
  },
  // And one who signs in, asks, and goes without a word.
  async (house) => {
    const client = await signIn(house, house.admin);
    await exec(client, 'whoami');
    await left(client);
  },
];

async function left(client: RawClient): Promise<void> {
  client.destroy();
  if (!client.closed) await once(client.socket, 'close');
}

/** Where a visit comes from: as many addresses as make no limit of one address the matter. */
function addressOf(nth: number): string {
  return `127.1.${Math.floor(nth / 200) % 250}.${(nth % 200) + 2}`;
}

interface Burden {
  readonly files: number;
  readonly residentMb: number;
}

function burdenOf(pid: number): Burden {
  const rss = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return { files: readdirSync(`/proc/${pid}/fd`).length, residentMb: Number(rss) / 1024 };
}

function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ');
  return Number(stat[11]) + Number(stat[12]);
}

/** Many short visits of all kinds: afterwards the server is as it was, and does nothing. */
export async function soak(t: Test, { connections }: { connections: number }): Promise<void> {
  const house = await House.open(t, { config: 'log_level: warn\n' });
  await come(house, 0, Math.min(connections, 300));
  await settled(t, house);
  const before = burdenOf(house.pid);

  for (let done = 0; done < connections; done += 1000) {
    await come(house, done, Math.min(connections - done, 1000));
    const answer = await house.admin.ssh('whoami');
    t.equal(answer.status, 0, `after ${done} more: ${answer.stderr}`);
  }

  await settled(t, house);
  // Whoever asked whether all is quiet has just left, too.
  const patience = performance.now() + 30_000;
  while (burdenOf(house.pid).files > before.files && performance.now() < patience) await wait(50);
  const after = burdenOf(house.pid);
  const grown = `${before.residentMb.toFixed(1)} MB before, ${after.residentMb.toFixed(1)} after`;
  t.comment(`${connections} connections: ${grown}, ${before.files} and ${after.files} files`);
  t.ok(after.files <= before.files, `${after.files} files are open, ${before.files} were`);
  t.ok(after.residentMb <= before.residentMb * 1.2, grown);
  const ticks = ticksOf(house.pid);
  await wait(idleMs);
  t.ok(ticksOf(house.pid) - ticks <= idleTicks, 'and it does nothing while nobody asks');
  t.notMatch(house.stderr, /uncaught|unhandled|request failed/i);
  t.match(await house.operator('audit verify'), { status: 0 });
}

async function come(house: House, first: number, count: number): Promise<void> {
  let next = first;
  const guest = async () => {
    for (let nth = next++; nth < first + count; nth = next++)
      await visits[nth % visits.length]?.(house, addressOf(nth));
  };
  await Promise.all(Array.from({ length: atOnce }, guest));
}

/** Waits until only who asks is connected. */
async function settled(t: Test, house: House): Promise<void> {
  t.same(await quiet(house.dataDir), []);
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    signal.throwIfAborted();
    const { connections, queue } = await asJson(house.operator('status --json'));
    if (connections <= 1 && queue === 0) return;
  }
}
