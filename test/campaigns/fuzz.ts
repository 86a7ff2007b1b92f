import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Test } from 'tap';
import { message, RawClient } from '../doors/ssh/raw-client.ts';
import { House } from '../support/house.ts';
import { exec, signIn } from '../support/raw.ts';
import { type Dice, dice } from './dice.ts';
import { mangled, parsers } from './fuzz-parsers.ts';

/** How many cases of each kind. */
export interface FuzzCases {
  /** Texts for parsers, in this process. */
  readonly texts: number;
  /** Streams of bytes at the port of a server. */
  readonly streams: number;
  /** Connections with messages of any content, half of them signed in. */
  readonly messages: number;
  /** Commands of any words, as somebody who is signed in. */
  readonly commands: number;
}

/** Every parser in turn is given what nobody would type. */
export async function fuzzParsers(t: Test, { texts }: Pick<FuzzCases, 'texts'>): Promise<void> {
  const chance = dice();
  t.comment(`CPM_SEED=${chance.seed}`);
  const names = Object.keys(parsers);
  const faults: string[] = [];
  for (let nth = 0; nth < texts; nth++) {
    const name = names[nth % names.length] ?? '';
    try {
      await parsers[name]?.(chance);
    } catch (error) {
      faults.push(`${name}, case ${nth}: ${error instanceof Error ? error.stack : error}`);
    }
  }
  t.strictSame(faults, [], `${texts} texts for ${names.length} parsers`);
}

/** A server gets what no client would send, and is as well as before. */
export async function fuzzPort(t: Test, cases: Omit<FuzzCases, 'texts'>): Promise<void> {
  const config = 'limits: {login_grace: 5s, unauthenticated_per_address: 60}\n';
  const house = await House.open(t, { config });
  const chance = dice();
  t.comment(`CPM_SEED=${chance.seed}`);
  await house.admin.ssh('init app');
  const { pid } = house;
  const play = async (share: number) => {
    await streams(house.port, chance, Math.ceil(cases.streams * share));
    await messages(house, chance, Math.ceil(cases.messages * share));
    await anyCommands(house, chance, Math.ceil(cases.commands * share));
  };

  // What a server needs once, it has after the first tenth.
  await play(0.1);
  const before = residentKilobytes(pid);
  await play(0.9);

  t.equal(house.pid, pid, 'the server lives');
  t.match(await house.admin.ssh('whoami'), { status: 0 });
  t.match(await house.operator('audit verify'), { status: 0 });
  t.notMatch(
    house.stderr,
    /"level":(50|60)|[Uu]ncaught|Unhandled/,
    'nothing was a fault of its own',
  );
  const list = JSON.parse((await house.admin.ssh('list --json')).stdout) as { name: string }[];
  t.same(
    list.filter(({ name }) => !/^[a-z0-9._-]+\/[a-z0-9._-]+$/.test(name)),
    [],
  );
  const after = residentKilobytes(pid);
  t.comment(`resident: ${before} KB after a tenth, ${after} KB at the end`);
  if (cases.streams >= 1000) t.ok(after < before * 1.2, 'memory is back within 20 %');
}

function residentKilobytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** Streams that are no SSH, or break off, or are SSH with places changed; 25 at a time. */
async function streams(port: number, chance: Dice, count: number): Promise<void> {
  const seed = await recorded(port);
  for (let done = 0; done < count; done += 25) {
    const some = Array.from({ length: Math.min(25, count - done) }, () => stream(chance, seed));
    await Promise.all(some.map((bytes) => say(port, bytes)));
  }
}

/** What a real client says until the keys are exchanged. */
async function recorded(port: number): Promise<Buffer> {
  const client = new RawClient(port);
  const sent: Buffer[] = [];
  const { write } = client.socket;
  client.socket.write = ((bytes: Buffer, ...rest: []) => {
    sent.push(Buffer.from(bytes));
    return write.call(client.socket, bytes, ...rest);
  }) as typeof write;
  await client.ready();
  client.destroy();
  return Buffer.concat(sent);
}

function stream(chance: Dice, seed: Buffer): Buffer {
  const any = Buffer.from(Array.from({ length: chance.below(2000) + 1 }, () => chance.below(256)));
  if (chance.below(5) === 0) return any;
  if (chance.below(5) === 0) return Buffer.concat([Buffer.from('SSH-2.0-x\r\n'), any]);
  return mangled(chance, seed);
}

async function say(port: number, bytes: Buffer): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  socket.resume();
  socket.end(bytes);
  await once(socket, 'close');
}

/** Messages of any number and content, encrypted as they should be. */
async function messages(house: House, chance: Dice, count: number): Promise<void> {
  for (let nth = 0; nth < count; nth++) {
    const isSignedIn = nth % 2 === 0;
    const client = isSignedIn ? await signIn(house, house.admin) : new RawClient(house.port);
    if (!isSignedIn) await client.startService();
    else if (chance.below(4) > 0) await client.open(0);
    for (let sent = 0; sent < 4 && !client.closed; sent++) client.send(anyMessage(chance));
    client.socket.end();
    await client.end();
  }
}

const words = ['session', 'exec', 'shell', 'pty-req', 'publickey', 'cpm', 'env', 'signal'] as const;
const numbers = [
  1, 2, 3, 5, 6, 7, 20, 21, 30, 50, 60, 80, 90, 93, 94, 95, 96, 97, 98, 255,
] as const;

function anyMessage(chance: Dice): Buffer {
  const fields = Array.from({ length: chance.below(6) }, () => {
    const kind = chance.below(4);
    if (kind === 0) return chance.pick(words);
    if (kind === 1) return chance.below(3);
    if (kind === 2) return Buffer.alloc(chance.below(60), chance.below(256));
    return chance.below(2 ** 32);
  });
  return mangled(chance, message(chance.pick(numbers), ...fields));
}

const lines = [
  "git-upload-pack 'ada/app'",
  "git-receive-pack '/ada/app.git'",
  "git-upload-archive 'app'",
  'repo set ada/app --description "x y" --visibility internal',
  'user add x --key -',
  'sshkey add --title t -',
  'list "a*" --sort name --json',
  'audit list --limit 3 --since 1h',
  'completion words -- repo s',
  'config get limits.idle',
] as const;

/** Lines near to real ones, each with an input that is none. */
async function anyCommands(house: House, chance: Dice, count: number): Promise<void> {
  let client = await signIn(house, house.admin);
  for (let nth = 0; nth < count; nth++) {
    if (client.closed || nth % 50 === 49) {
      client.destroy();
      client = await signIn(house, house.admin);
    }
    const line = mangled(chance, Buffer.from(chance.pick(lines)));
    await exec(client, line, mangled(chance, Buffer.from('0000PACK\0\0\0\x02ssh-ed25519 AAAA')));
  }
  client.destroy();
}
